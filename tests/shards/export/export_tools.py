"""What tests of several exporters need."""

from __future__ import annotations

from pathlib import Path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
