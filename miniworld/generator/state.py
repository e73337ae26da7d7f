"""Where training keeps its state: one folder, each file complete or absent, the configuration stamped on it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch


class StateError(ValueError):
    """A training folder that cannot be used as it is."""


def config_hash(config: Any) -> str:
    """Twelve hex digits over a config dataclass."""
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()[:12]


def claim(folder: Path, config: Any) -> None:
    """Stamp a training folder with its configuration, or check the stamp.

    Raises StateError when the folder belongs to another configuration, naming the fields that differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "config.json"
    mine = json.loads(json.dumps(asdict(config)))
    if not stamp.exists():
        write_text(stamp, json.dumps(mine, indent=1, sort_keys=True))
        return
    theirs = json.loads(stamp.read_text(encoding="utf-8"))
    differ = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
    if differ:
        said = ", ".join(f"{k} = {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in differ)
        raise StateError(f"{folder} holds the training of another configuration ({said}): name another --work folder")


def write_text(path: Path, text: str) -> None:
    """Write a small file so that it appears whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _clear(error, path) from error


def save(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values; a kill or a full disk in the middle leaves the file that was there before."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as out:
            torch.save(state, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise _clear(error, path) from error


def load(path: Path) -> dict[str, Any] | None:
    """The last good state, or None when there is none. Raises StateError on a damaged file."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise StateError(f"{path} is damaged ({type(error).__name__}): delete it to start this stage anew") from error
    return state


def _clear(error: Exception, path: Path) -> Exception:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    if full or isinstance(error, RuntimeError):
        return StateError(
            f"could not save {path}: no space left or a failing disk; "
            "the last good state is kept, free space and run again"
        )
    return StateError(f"could not save {path} ({error}): check the folder's permissions and run again")
