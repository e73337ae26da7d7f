"""Which parts of a picture are inpainted: a mask's components, each in a crop that gives it context (PAL, section 3.3).

Boxes are (top, left, bottom, right) in pixels, ends excluded. Masks are bool HW.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from shards.masks import U8

Bool = NDArray[np.bool_]
F32 = NDArray[np.float32]
Box = tuple[int, int, int, int]
REFERENCE = 512
"""Short side of the pictures that a dilation in pixels is given for (PAL4VST: 5 x 5 five times at 512, 10 pixels)."""
EIGHT = np.ones((3, 3), np.int32)


@dataclass(frozen=True)
class Region:
    """One or more components of a dilated mask that are inpainted together, and where."""

    box: Box
    """Of the crop, within the picture."""
    weight: F32
    """float32 of the crop's size, 0..1: the share of the inpainted pixel that the picture takes; above 0 is masked."""

    @property
    def mask(self) -> Bool:
        """bool of the crop's size: what is inpainted."""
        return self.weight > 0

    def cut(self, picture: U8) -> U8:
        """The crop of a picture, uint8 HWC."""
        top, left, bottom, right = self.box
        return picture[top:bottom, left:right]

    def paste(self, picture: U8, filled: U8) -> None:
        """Put an inpainted crop (uint8 HWC) into the picture, feathered by the weight."""
        weight = self.weight[..., None]
        mixed = weight * filled + (1 - weight) * self.cut(picture)
        self.cut(picture)[:] = np.rint(mixed).astype(np.uint8)


def radius_of(dilation: float, height: int, width: int) -> int:
    """Pixels by which a mask is dilated: `dilation` is for a short side of 512; at least 1 unless it is 0."""
    return max(1, round(dilation * min(height, width) / REFERENCE)) if dilation > 0 else 0


def feather(mask: Bool, radius: int) -> F32:
    """float32 HW: 1 in the mask, falling to 0 over `radius` pixels around it (chessboard distance).

    What is above 0 is the mask dilated by a square of 2 radius + 1.
    """
    if not mask.any() or not radius:
        return mask.astype(np.float32)
    distance = ndimage.distance_transform_cdt(~mask, metric="chessboard").astype(np.float32)
    return np.clip(1 - distance / (radius + 1), 0, 1)


def find_regions(weight: F32, zoom: float, least: int) -> list[Region]:
    """The regions of a dilated mask, in scan order of their crops; no two crops meet.

    Args:
        weight: float32 HW as `feather` gives it.
        zoom: side of the crop / longest side of the component, 1 or more; 0: the crop is the whole picture.
        least: smallest side of a crop, in pixels.
    """
    marked = weight > 0
    if not marked.any():
        return []
    height, width = weight.shape
    if not zoom:
        return [Region((0, 0, height, width), weight)]
    labels, count = ndimage.label(marked, structure=EIGHT)
    boxes = [(ys.start, xs.start, ys.stop, xs.stop) for ys, xs in ndimage.find_objects(labels)]
    group = np.arange(count)  # component -> number of its crop
    while True:
        crops = [crop_around(box, zoom, least, height, width) for box in united(boxes, group)]
        merged = meet(crops, height, width)
        if merged.max() + 1 == len(crops):
            # A crop holds its components whole and meets no other, so what is marked in it is its own.
            return [Region(crop, weight[crop[0] : crop[2], crop[1] : crop[3]]) for crop in crops]
        group = merged[group]


def united(boxes: list[Box], group: NDArray[np.intp]) -> list[Box]:
    """The box around the boxes of each group."""
    table, number = np.array(boxes), int(group.max()) + 1
    low, high = np.full((number, 2), np.iinfo(np.int64).max), np.zeros((number, 2), np.int64)
    np.minimum.at(low, group, table[:, :2])
    np.maximum.at(high, group, table[:, 2:])
    return [(int(a), int(b), int(c), int(d)) for (a, b), (c, d) in zip(low, high, strict=True)]


def crop_around(box: Box, zoom: float, least: int, height: int, width: int) -> Box:
    """A square around a box, shifted to lie in the picture; cut where the picture is smaller."""
    top, left, bottom, right = box
    side = max(int(np.ceil(zoom * max(bottom - top, right - left))), least)
    spans = [span(top, bottom, side, height), span(left, right, side, width)]
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def span(low: int, high: int, side: int, limit: int) -> tuple[int, int]:
    """`side` pixels about the middle of low .. high, shifted into 0 .. limit."""
    side = min(side, limit)
    start = min(max((low + high - side) // 2, 0), limit - side)
    return start, start + side


def meet(crops: list[Box], height: int, width: int) -> NDArray[np.intp]:
    """Number of the group of each crop, 0, 1, .. in scan order: crops that overlap or touch are in one."""
    edges = np.zeros((height + 1, width + 1), np.int32)
    for top, left, bottom, right in crops:
        edges[[top, bottom], [left, right]] += 1
        edges[[top, bottom], [right, left]] -= 1
    covered = edges.cumsum(0).cumsum(1)[:height, :width] > 0
    labels, _ = ndimage.label(covered, structure=EIGHT)
    found = np.array([labels[top, left] for top, left, _, _ in crops])
    return np.unique(found, return_inverse=True)[1]


def model_shape(height: int, width: int, size: int, multiple: int) -> tuple[int, int]:
    """Height and width of a crop for the model: the longer side `size`, the ratio kept but for the multiple."""
    longest = max(height, width)
    tall, wide = (max(multiple, round(size * side / longest / multiple) * multiple) for side in (height, width))
    return tall, wide


def resized(picture: U8, shape: tuple[int, int]) -> U8:
    """uint8 HWC at another height and width, Lanczos; the same picture where it has them."""
    if picture.shape[:2] == shape:
        return picture
    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), Image.Resampling.LANCZOS))


def resized_mask(mask: Bool, shape: tuple[int, int]) -> U8:
    """uint8 HW, 0 and 1: every pixel that the mask reaches at another height and width."""
    grey = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    if mask.shape != shape:
        grey = grey.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return (np.asarray(grey) > 0).astype(np.uint8)
