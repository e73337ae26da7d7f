"""Arrays from a file that may come from outside: names, types and sizes are checked before anything is unpacked.

`np.load` unpacks whatever a zip claims to hold, of any type and shape.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.guard.plain_file import open_plain

HEADER = 1 << 12
"""Most bytes of an array that are not its values."""


@dataclass(frozen=True)
class Form:
    """What an array may be: a numpy type such as "int64" or "S", and its shape, None where any length will do."""

    kind: str
    shape: tuple[int | None, ...]

    def fits(self, array: NDArray[Any]) -> bool:
        typed = array.dtype.kind == self.kind if len(self.kind) == 1 else array.dtype == np.dtype(self.kind)
        sized = len(array.shape) == len(self.shape) and all(
            wanted in (None, there) for wanted, there in zip(self.shape, array.shape, strict=True)
        )
        return typed and sized


def load_arrays(path: Path, forms: Mapping[str, Form], max_bytes: int) -> dict[str, NDArray[Any]] | None:
    """The arrays that `pack_arrays` wrote, exactly those of `forms`; None for anything else. Never unpickles.

    A file larger than `max_bytes` is not looked at; memory stays within the file's size.
    """
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_size > max_bytes:
                return None
            with zipfile.ZipFile(file) as stored:
                entries = {entry.filename: entry for entry in stored.infolist()}
                if len(stored.infolist()) != len(forms) or entries.keys() != {f"{name}.npy" for name in forms}:
                    return None
                if sum(entry.compress_size for entry in entries.values()) > max_bytes:
                    return None
                loaded = {name: _load(stored, entries[f"{name}.npy"], max_bytes) for name in forms}
    except Exception:  # zipfile and numpy raise a dozen unrelated types on damaged data
        return None
    return loaded if all(forms[name].fits(array) for name, array in loaded.items()) else None


def _load(stored: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> NDArray[Any]:
    """One array. Raises ValueError, and whatever zipfile and numpy raise."""
    if entry.compress_type != zipfile.ZIP_STORED or not entry.compress_size == entry.file_size <= max_bytes:
        raise ValueError("packed")
    file = io.BytesIO(stored.read(entry))
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another form")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER)
    data = file.getbuffer()[file.tell() :]
    if (by_columns and len(shape) > 1) or dtype.hasobject or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError("another type")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("another size")
    return np.frombuffer(data, dtype).reshape(shape)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes of a file that `load_arrays` reads."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def text_bytes(lines: list[str]) -> NDArray[np.uint8]:
    """Lines of text as one flat array, whose size is that of the text; surrogates are kept, line ends are not."""
    text = "\n".join(line.replace("\n", " ") for line in lines)
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)


def lines_of(array: NDArray[np.uint8]) -> list[str]:
    """The inverse of `text_bytes`; one line at least."""
    return array.tobytes().decode("utf-8", "surrogateescape").split("\n")
