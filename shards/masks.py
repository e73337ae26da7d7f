"""Masks in memory are uint8 HW: 0 clean, 1 artifact, 255 ignore. In files they are 8-bit PNGs with 0, 255 and 128.

People see the artifact as white and the ignored pixels as grey; only this module converts.
"""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import SchemaError

CLEAN, ARTIFACT, IGNORE = 0, 1, 255
FILE_CLEAN, FILE_ARTIFACT, FILE_IGNORE = 0, 255, 128

U8 = NDArray[np.uint8]

PART_ROWS = 1024
CELL_SHAPE = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
MAX_CELLS = 1 << 24
"""Most cells, and most characters they are packed in."""

_TO_FILE = np.zeros(256, np.uint8)
_TO_FILE[[ARTIFACT, IGNORE]] = [FILE_ARTIFACT, FILE_IGNORE]
WRONG = 2
"""In memory, for what no file may hold."""
_TO_MEMORY = np.full(256, WRONG, np.uint8)
_TO_MEMORY[[FILE_CLEAN, FILE_ARTIFACT, FILE_IGNORE]] = [CLEAN, ARTIFACT, IGNORE]
_TO_MEMORY_BYTES = _TO_MEMORY.tobytes()


def _check(mask: U8, allowed: tuple[int, int, int], where: str) -> None:
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise SchemaError(f"mask {where} must be uint8 HW, got {mask.dtype} of shape {mask.shape}")
    # In parts, because counting takes eight times their memory.
    parts = (mask[top : top + PART_ROWS].ravel() for top in range(0, len(mask), PART_ROWS))
    found = sum((np.bincount(part, minlength=256) for part in parts), np.zeros(256, np.int64))
    wrong = [int(value) for value in np.flatnonzero(found) if value not in allowed]
    if wrong:
        raise SchemaError(f"mask {where} holds the values {wrong[:5]}; allowed are {sorted(allowed)}")


def check_mask(mask: U8) -> None:
    """Raise SchemaError unless `mask` is uint8 HW with values 0, 1, 255."""
    _check(mask, (CLEAN, ARTIFACT, IGNORE), "in memory")


def mask_to_file(mask: U8) -> U8:
    """uint8 HW 0/1/255 -> uint8 HW 0/255/128."""
    check_mask(mask)
    return _TO_FILE[mask]


def mask_from_file(stored: U8) -> U8:
    """uint8 HW 0/255/128 -> uint8 HW 0/1/255. Raises SchemaError."""
    if stored.dtype != np.uint8 or stored.ndim != 2:
        _check(stored, (FILE_CLEAN, FILE_ARTIFACT, FILE_IGNORE), "file")
    return mask_from_bytes(stored.tobytes(), stored.shape)


def mask_from_bytes(stored: bytes, shape: tuple[int, ...]) -> U8:
    """height * width bytes 0/255/128, row by row -> uint8 HW 0/1/255. Raises SchemaError."""
    mask = bytearray(stored.translate(_TO_MEMORY_BYTES))  # ten times as fast as numpy counts and takes values
    if WRONG in mask:
        whole = np.frombuffer(stored, np.uint8).reshape(shape)
        _check(whole, (FILE_CLEAN, FILE_ARTIFACT, FILE_IGNORE), "file")
    return np.frombuffer(mask, np.uint8).reshape(shape)


def label_components(mask: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Connected components (8 neighbours) of the pixels equal to 1.

    Returns: labels int32 HW (0 = none, 1..n in scan order) and n.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask == ARTIFACT, structure=np.ones((3, 3), np.int32), output=np.int32)
    return labels, int(count)


def component_boxes(mask: NDArray[Any]) -> list[tuple[tuple[int, int, int, int], int]]:
    """For each component in scan order its box (x0, y0, x1, y1), ends excluded, and its pixel count."""
    from scipy import ndimage

    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    slices = ndimage.find_objects(labels)
    return [((xs.start, ys.start, xs.stop, ys.stop), int(sizes[i + 1])) for i, (ys, xs) in enumerate(slices)]


def pack_cells(cells: NDArray[Any]) -> str:
    """Boolean HW grid -> "HxW:base64", a short string that has one type whatever it holds."""
    height, width = cells.shape
    packed = zlib.compress(np.packbits(np.asarray(cells, bool)).tobytes(), 9)
    return f"{height}x{width}:{base64.b64encode(packed).decode('ascii')}"


def unpack_cells(text: str) -> NDArray[np.bool_]:
    """The inverse of `pack_cells`. Raises SchemaError on a malformed string; "" gives a 0x0 grid."""
    if text == "":
        return np.zeros((0, 0), bool)
    try:
        shape, _, data = text.partition(":")
        found = CELL_SHAPE.fullmatch(shape)
        if found is None or len(data) > MAX_CELLS:
            raise ValueError("no shape of at most four digits a side")
        height, width = int(found[1]), int(found[2])
        if height * width > MAX_CELLS:
            raise ValueError(f"more than {MAX_CELLS} cells")
        size = (height * width + 7) // 8
        bits = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), size + 1)
        if len(bits) != size:
            raise ValueError(f"the data does not hold {height}x{width} cells")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width).reshape(height, width).astype(bool)
    except (ValueError, AttributeError, TypeError, zlib.error) as error:
        raise SchemaError(f"cell mask {repr(text)[:40]} is not of the form HxW:base64 ({error})") from error
