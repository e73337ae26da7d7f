"""Arrays in an `.npz` that nobody vouches for: sizes and kinds are checked before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.guard.plain_file import open_plain

MAX_UNPACKED = 1 << 29
"""Bytes of all arrays together, 512 MiB: the counts of 200,000 images."""
MAX_ARRAYS = 1 << 12


def read_arrays(path: Path, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Every array by name. kinds: for the last word of a name (after `_`), else the name, numpy's letters of dtypes.

    Raises OSError, and ValueError for what is no such file, or larger than what is read. Never unpickles.
    """
    with open_plain(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_ARRAYS or sum(one.file_size for one in members) > MAX_UNPACKED:
            raise ValueError(f"more than {MAX_ARRAYS} arrays or {MAX_UNPACKED} bytes")
        arrays = {}
        for one in members:
            name = one.filename.removesuffix(".npy")
            with archive.open(one) as stored:
                check_array(stored, one.file_size, kinds.get(name, kinds.get(name.partition("_")[2], "")), name)
            with archive.open(one) as stored:
                arrays[name] = np.lib.format.read_array(stored, allow_pickle=False)
    return arrays


def check_array(file: Any, size: int, kinds: str, name: str) -> None:
    """Raise ValueError for a header that tells of other bytes than there are, or of another kind of numbers."""
    major, _ = np.lib.format.read_magic(file)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(major)
    if read is None:
        raise ValueError(f"{name[:60]} has version {major} of the format")
    shape, _, dtype = read(file)
    if dtype.kind not in kinds or dtype.hasobject:
        raise ValueError(f"{name[:60]} holds {str(dtype)[:60]}")
    if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name[:60]} of shape {str(shape)[:60]} has {size} bytes")
