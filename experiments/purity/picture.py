"""The sheet of `experiments.purity`: a column for each source, a row for each way to treat it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from miniworld.evaluate.sheets import GAP, ZOOM, grid, outlined, zoom
from shards.files import make_folder, write_bytes

Pictures = NDArray[np.uint8]
FAULT = (255, 255, 0)
LABEL = 96
"""Width of the row names, in pixels."""
NUM_COLUMNS = 12
LARGEST = 300_000
"""Bytes that the sheet may have."""


def sheet(made: Mapping[str, Pictures], masks_NHW: Pictures, faults: Mapping[str, Sequence[Pictures]]) -> Pictures:
    """Rows in the order of `made`, names at the left; masks outlined in magenta, what the oracle finds in yellow."""
    tiles = [
        _marked(picture, mask, fault)
        for name in made
        for picture, mask, fault in zip(made[name], masks_NHW, faults[name], strict=True)
    ]
    pictures = grid(tiles, len(masks_NHW))
    names = Image.new("RGB", (LABEL, pictures.shape[0]), "white")
    font, pen = ImageFont.load_default(size=13), ImageDraw.Draw(names)
    for row, name in enumerate(made):
        pen.text((GAP, GAP + row * (tiles[0].shape[0] + GAP) + 40), name.replace(", ", "\n"), fill="black", font=font)
    return np.concatenate([np.asarray(names), pictures], axis=1)


def _marked(picture: Pictures, mask: Pictures, fault: Pictures) -> Pictures:
    big = outlined(picture, mask)
    inside = zoom(fault[..., None])[..., 0] > 0
    big[inside & ~ndimage.binary_erosion(inside, border_value=1)] = FAULT
    return big


def save_sheet(path: Path, pixels: Pictures) -> None:
    """Write as WebP, with the best quality that stays below LARGEST bytes. Raises OutputError."""
    make_folder(path.parent)
    for quality in (90, 80, 70, 60, 50, 40, 30):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() < LARGEST:
            break
    write_bytes(path, buffer.getvalue())


assert ZOOM == 2  # names are placed for tiles of 128 pixels
