"""Where training keeps its state: one folder, each file complete or absent, the configuration stamped on it."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from shards.claims import Claim
from shards.errors import UserError
from shards.files import PARTIAL, make_folder, write_bytes


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
    hint = "name another --work folder"
    stamp = Claim(folder, "config.json", asdict(config), "training", hint, error=StateError, alone=False)
    if not stamp.is_begun():
        stamp.write()


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
