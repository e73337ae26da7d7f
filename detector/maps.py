"""The files of one picture that was looked at: heat map, mask, overlay, and the line of the table that they give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from detector.heat import WHOLE, Heat, enlarged
from shards.files import PARTIAL, explain
from shards.guard.plain_file import is_plain, size_of
from shards.masks import U8
from shards.memory import return_freed_memory
from shards.schema import MAX_PIXELS

HEAT, MASKS, OVERLAYS = "heat", "masks", "overlays"
IDENTITY = "source_sha256"
"""Text in the PNGs: sha256 of the picture's bytes, so that maps of another picture under its name are not kept."""
STRIP = 256
"""Rows of a map or an overlay that are computed together."""
OVERLAY_PIXELS = 3 << 22
"""An overlay is to be looked at: of a picture with more pixels it shows every second, third, .. row and column."""
LONGEST_WEBP = 16383


@dataclass(frozen=True)
class Row:
    """One picture: `par` is the share of its pixels in the mask, the others are of the 8-bit heat map / 255."""

    key: str
    par: float
    max: float
    mean: float
    artifact_pixels: int
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Places:
    """Where the files of one picture are; `overlay` None where none is written."""

    heat: Path
    mask: Path
    overlay: Path | None

    @classmethod
    def of(cls, out: Path, key: str, overlays: bool) -> Places:
        overlay = out / OVERLAYS / f"{key}.webp" if overlays else None
        return cls(out / HEAT / f"{key}.png", out / MASKS / f"{key}.png", overlay)

    def clear(self) -> None:
        """Remove what an earlier picture of this name left; the heat map, which marks it as done, first."""
        for path in filter(None, (self.heat, self.mask, self.overlay)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise explain(error, path) from error


def write_maps(
    key: str, uri: str, sha256: str, image: list[U8], small: torch.Tensor, threshold: float, places: Places
) -> Row:
    """The files of one picture; the heat map last, since it marks the picture as done. Raises OutputError.

    image: uint8 HWC RGB, in a list that is emptied, so that nobody keeps it while the files are encoded.
    small: float SS, 0..1.
    """
    whole = image.pop()
    height, width = whole.shape[:2]
    step = max(math.ceil(math.sqrt(height * width / OVERLAY_PIXELS)), -(-max(height, width) // LONGEST_WEBP))
    seen = whole if step == 1 else whole[::step, ::step].copy()
    del whole
    mask, grey = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    shown = []
    for rows, heat in enlarged(small, height, width, STRIP):
        mask[rows] = np.where(heat >= threshold, np.uint8(255), np.uint8(0))
        grey[rows] = np.rint(heat * 255).astype(np.uint8)
        shown.append(heat[-rows.start % step :: step, ::step].copy())
    if places.overlay is not None:
        drawn = overlay(seen, np.concatenate(shown), mask[::step, ::step])
        del shown, seen
        save(places.overlay, drawn, quality=90)
        del drawn
    marked = PngInfo()
    marked.add_text(IDENTITY, sha256)
    save(places.mask, mask, compress_level=1, pnginfo=marked)
    save(places.heat, grey, compress_level=1, pnginfo=marked)
    row = make_row(key, uri, mask, grey)
    if height * width > WHOLE:
        del mask, grey
        return_freed_memory()  # a gigabyte is reached by what lies freed beside the next large picture
    return row


def make_row(key: str, uri: str, mask: U8, grey: U8) -> Row:
    """Counts first, shares derived."""
    pixels = int(np.count_nonzero(mask))
    height, width = mask.shape
    mean = float(grey.mean(dtype=np.float64)) / 255
    top = int(grey.max()) / 255
    return Row(key, pixels / mask.size, round(top, 6), round(mean, 6), pixels, width, height, uri)


def finished(key: str, uri: str, sha256: str, places: Places) -> Row | None:
    """The row of a picture whose files are there from an earlier call; None where one is damaged or of another."""
    if places.overlay is not None and size_of(places.overlay) <= 0:
        return None
    grey, mask = read_map(places.heat, sha256), read_map(places.mask, sha256)
    if grey is None or mask is None or grey.shape != mask.shape:
        return None
    return make_row(key, uri, mask, grey)


def read_map(path: Path, sha256: str) -> U8 | None:
    """uint8 HW of a map that was made of the picture with this sha256, or None."""
    if not is_plain(path):
        return None
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode != "L" or picture.width * picture.height > MAX_PIXELS:
                return None
            stored = np.asarray(picture)
            return stored if picture.info.get(IDENTITY) == sha256 else None
    except Exception:  # Pillow raises a dozen unrelated types on damaged data
        return None


def save(path: Path, array: U8, **options: Any) -> None:
    """Write a picture so that its name only ever holds the whole. Raises OutputError."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        Image.fromarray(array).save(partial, "WEBP" if path.suffix == ".webp" else "PNG", **options)
        partial.replace(path)
    except OSError as error:
        raise explain(error, path) from error


def overlay(image: U8, heat: Heat, mask: U8) -> U8:
    """uint8 HWC RGB with the heat laid over it in red, and a white line around each marked region."""
    drawn = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), STRIP):
        rows = slice(top, top + STRIP)
        weight = 0.6 * heat[rows, :, None]
        mixed = image[rows] * (1 - weight) + weight * np.array([255, 0, 0], np.float32)
        drawn[rows] = np.rint(mixed).astype(np.uint8)
        above = min(top, 1)  # a region's outline may begin one row before or behind
        marked = mask[top - above : top + STRIP + 1] > 0
        edge = (ndimage.binary_dilation(marked) & ~marked)[above:][:STRIP]
        drawn[rows][edge] = 255
    return drawn
