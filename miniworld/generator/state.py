"""Where training keeps its state: one folder, each file complete or absent, the configuration stamped on it."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from shards.errors import UserError
from shards.files import PARTIAL, make_folder, write_bytes, write_json


class StateError(UserError, ValueError):
    """A training folder that cannot be used as it is."""


def claim(folder: Path, config: Any) -> None:
    """Stamp a training folder with its configuration (a dataclass), or check the stamp.

    Raises StateError when the folder belongs to another configuration, naming the fields that differ; OutputError when
    it cannot be written.
    """
    make_folder(folder)
    for leftover in folder.glob(f"*{PARTIAL}"):  # of a call that was killed while it saved
        leftover.unlink(missing_ok=True)
    stamp = folder / "config.json"
    mine = json.loads(json.dumps(asdict(config)))
    if not stamp.exists():
        write_json(stamp, mine)
        return
    try:
        theirs = json.loads(stamp.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StateError(f"{stamp} is damaged ({error}): name another --work folder") from error
    differ = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
    if differ:
        said = ", ".join(f"{k} = {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in differ)
        raise StateError(f"{folder} holds the training of another configuration ({said}): name another --work folder")


def save(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values; a kill or a full disk in the middle leaves the file that was there before.

    Raises OutputError.
    """
    # Not straight into the file: torch turns the error of a full disk into one of its own.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """The last good state, or None when there is none. Raises StateError on a damaged file."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise StateError(f"{path} is damaged ({type(error).__name__}): delete it to start this stage anew") from error
    return state
