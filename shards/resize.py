"""Bringing pictures to the model's size, image, mask and regions alike. Masks are never interpolated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from shards.masks import CLEAN, IGNORE, U8
from shards.source import Region, SourceItem

MIN_FILL = 0.75
"""Smallest share of size*size pixels that a bucket may have."""
MAX_SIZE, MAX_ASPECT, MAX_BUCKET_SIDES = 8192, 16.0, 512
"""Largest size and aspect, and most different sides of buckets."""


@dataclass(frozen=True)
class SizePolicy:
    """How any picture becomes one of the sizes a batch can hold."""

    policy: Literal["crop", "bucket", "pad", "none"] = "crop"
    """crop: short side to `size`, then the centre square. bucket: to the bucket of nearest aspect, about size*size
    pixels, sides a multiple of `multiple`. pad: long side to `size`, grey borders that a mask ignores. none: as is."""
    size: int = 512
    """Side in pixels."""
    multiple: int = 64
    """Of a bucket's sides in pixels."""
    max_aspect: float = 2.0
    """Widest bucket; more extreme pictures are cropped to it."""

    def __post_init__(self) -> None:
        uneven = self.policy == "bucket" and self.size % max(1, self.multiple)
        if not 8 <= self.size <= MAX_SIZE or not 1 <= self.multiple <= MAX_SIZE or uneven:
            raise ValueError(
                f"size must be 8 to {MAX_SIZE} and a multiple of `multiple`, got {self.size} and {self.multiple}"
            )
        if not 1 <= self.max_aspect <= MAX_ASPECT:
            raise ValueError(f"max_aspect must be 1 to {MAX_ASPECT:g}, got {self.max_aspect}")
        if self.policy == "bucket" and self.size * self.max_aspect / self.multiple > MAX_BUCKET_SIDES:
            raise ValueError(
                f"size {self.size}, multiple {self.multiple} and max_aspect {self.max_aspect} make buckets of "
                f"more than {MAX_BUCKET_SIDES} different sides; take a larger multiple"
            )

    def buckets(self) -> list[tuple[int, int]]:
        """(height, width) of every bucket, widest last."""
        return list(_buckets(self))

    def target(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a picture of this size becomes: the batch it may join."""
        if self.policy == "none":
            return height, width
        if self.policy == "bucket":
            ratio = np.log(width / height)
            return min(_buckets(self), key=lambda pair: abs(float(np.log(pair[1] / pair[0])) - float(ratio)))
        return self.size, self.size

    def scale(self, height: int, width: int) -> float:
        """By how much a picture of this size is enlarged (above 1) or made smaller."""
        out_height, out_width = self.target(height, width)
        pick = min if self.policy == "pad" else max
        return pick(out_height / height, out_width / width)


@lru_cache(maxsize=16)
def _buckets(policy: SizePolicy) -> tuple[tuple[int, int], ...]:
    steps = [policy.multiple * n for n in range(1, int(policy.size * policy.max_aspect) // policy.multiple + 1)]
    near = [(h, w) for h in steps for w in steps if max(h, w) / min(h, w) <= policy.max_aspect]
    full = [(h, w) for h, w in near if MIN_FILL * policy.size**2 <= h * w <= policy.size**2]
    # Of buckets with one height or one width keep the largest.
    tallest = {w: h for h, w in sorted(full)}
    widest = {h: w for w, h in sorted((w, h) for h, w in full)}
    kept = [(h, w) for h, w in full if tallest[w] == h and widest[h] == w]
    return tuple(sorted(kept, key=lambda pair: pair[1] / pair[0]))


def resize_image(image: U8, policy: SizePolicy) -> U8:
    """uint8 HWC -> uint8 HWC of `policy.target`. Padding is mid-grey."""
    return _fit(image, policy, Image.Resampling.LANCZOS, 127)


def resize_mask(mask: U8, policy: SizePolicy, fill: int = IGNORE) -> U8:
    """uint8 HW -> uint8 HW of `policy.target`, nearest neighbour, values unchanged; borders get `fill`."""
    return _fit(mask, policy, Image.Resampling.NEAREST, fill)


def resize_item(item: SourceItem, policy: SizePolicy) -> SourceItem:
    """Resize the image, the mask and every region of an item. A no-op gives the item back."""
    height, width = item.image.shape[:2]
    if policy.target(height, width) == (height, width):
        return item
    regions = tuple(Region(r.name, resize_mask(r.mask, policy, CLEAN), r.parent) for r in item.regions)
    mask = None if item.mask is None else resize_mask(item.mask, policy)
    return dataclasses.replace(item, image=resize_image(item.image, policy), mask=mask, regions=regions)


def _fit(array: U8, policy: SizePolicy, resample: Image.Resampling, fill: int) -> U8:
    height, width = array.shape[:2]
    out_height, out_width = policy.target(height, width)
    if (height, width) == (out_height, out_width):
        return array
    if policy.policy == "pad":
        return _pad(array, out_height, out_width, resample, fill)
    # The largest centred window of the target's aspect, scaled once: crop and resize in one filter pass.
    scale = max(out_height / height, out_width / width)
    # Division may round the window a hair beyond the picture.
    window_height, window_width = min(out_height / scale, height), min(out_width / scale, width)
    left, top = (width - window_width) / 2, (height - window_height) / 2
    box = (left, top, min(left + window_width, width), min(top + window_height, height))
    picture = Image.fromarray(array)
    return np.asarray(picture.resize((out_width, out_height), resample, box=box))


def _pad(array: U8, out_height: int, out_width: int, resample: Image.Resampling, fill: int) -> U8:
    height, width = array.shape[:2]
    scale = min(out_height / height, out_width / width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    inner = np.asarray(Image.fromarray(array).resize((inner_width, inner_height), resample))
    padded = np.full((out_height, out_width, *array.shape[2:]), fill, np.uint8)
    top, left = (out_height - inner_height) // 2, (out_width - inner_width) // 2
    padded[top : top + inner_height, left : left + inner_width] = inner
    return padded
