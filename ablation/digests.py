"""What a stage depends on beyond its config: the files that the config names, by their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shards.config import INSTALLED
from shards.errors import MissingInputError
from shards.files import hash_file
from shards.writer import read_manifest

WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


def named_files(values: Any, path: str = "") -> dict[str, str]:
    """sha256 of every model, weights file and run of shards that stands in plain values: {dotted path: digest}.

    Names are looked up as given, else beside the installed packages. Other strings, hub ids among them, give nothing.
    """
    return dict(_named(values, path))


def _named(values: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _named(value, f"{path}.{key}" if path else str(key))
    elif isinstance(values, (list, tuple)):
        for number, value in enumerate(values):
            yield from _named(value, f"{path}[{number}]")
    elif isinstance(values, str) and 0 < len(values) < 1000 and "\n" not in values:
        digest = file_digest(values)
        if digest:
            yield path, digest


def file_digest(name: str) -> str:
    """Digest of the file or folder of this name, "" where it is neither weights, a model, nor shards."""
    for found in (Path(name), INSTALLED / name):
        if found.is_file() and found.suffix in WEIGHTS:
            return hash_file(found)
        if found.is_dir():
            if (found / "model_index.json").is_file():
                return _together(sorted(path for suffix in WEIGHTS for path in found.glob(f"*/*{suffix}")))
            return shards_digest(found)
    return ""


def shards_digest(folder: Path) -> str:
    """Of a run its manifest's sha256, of loose tars their own; "" where there are none."""
    if (folder / "manifest.json").is_file():
        return hash_file(folder / "manifest.json")
    tars = sorted(folder.glob("*.tar"))
    return _together(tars) if tars else ""


def find_shards(where: str, what: str) -> tuple[Path, str]:
    """Folder and digest of labelled shards that must be there, as given or beside the installed packages.

    Raises MissingInputError saying what they are for, also where a run was not brought to its end.
    """
    for folder in (Path(where), INSTALLED / where):
        digest = shards_digest(folder) if folder.is_dir() else ""
        if digest:
            manifest = folder / "manifest.json"
            if manifest.is_file() and "totals" not in read_manifest(manifest):
                raise MissingInputError(f"{what}: {folder} is a run that is not complete; resume it first")
            return folder, digest
    raise MissingInputError(f"{what}: {where} holds no shards; name the folder of a run, or make it first")


def _together(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.parent.name}/{path.name} {hash_file(path)}\n".encode())
    return digest.hexdigest()
