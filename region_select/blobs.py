"""Random smooth blobs: regions that know nothing of the picture.

A blob is star-shaped: pixels are ranked by distance / radius(angle) from its centre, stretched along a random axis, and
the nearest ones are taken until the drawn area is met exactly, so that the area's distribution is the stated one even
where a blob meets the edge of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from region_select.limits import Limits, apply_limits
from region_select.policy import ItemPolicy, Selection
from shards.masks import ARTIFACT, U8
from shards.source import SourceItem

MAX_BLOBS = 256


@dataclass(frozen=True)
class BlobsOptions:
    """Options of the policy `blobs`."""

    area: tuple[float, float] = (0.01, 0.15)
    """Area of a blob as a share of the picture: log-uniform between these two."""
    max_blobs: int = 2
    """Between one and so many blobs, each number equally often; they may overlap."""
    max_stretch: float = 2.0
    """Longer over shorter axis: uniform between 1 and this."""
    waviness: float = 0.35
    """How far the outline departs from an ellipse, 0 (not at all) to 0.9; harmonics 2..5, falling."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        low, high = self.area
        if not 0.0 < low <= high <= 1.0:
            raise ValueError(f"area must be (low, high) with 0 < low <= high <= 1, got {self.area}")
        if not 1 <= self.max_blobs <= MAX_BLOBS or self.max_stretch < 1.0 or not 0.0 <= self.waviness <= 0.9:
            raise ValueError(
                f"needed: max_blobs 1..{MAX_BLOBS}, max_stretch >= 1 and waviness 0..0.9, "
                f"got {self.max_blobs}, {self.max_stretch}, {self.waviness}"
            )


class BlobsPolicy(ItemPolicy):
    """Draws centre, area, stretch and outline of every blob from the item's generator."""

    Options = BlobsOptions

    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        height, width = item.image.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        areas = []
        for _ in range(int(rng.integers(1, self.options.max_blobs + 1))):
            low, high = np.log(self.options.area)
            area = float(np.exp(rng.uniform(low, high)))
            mask |= blob(height, width, area, self.options, rng)
            areas.append(round(area, 5))
        kept, why = apply_limits(mask, self.options.limits)
        return Selection(kept, why, {"areas": areas})


def blob(height: int, width: int, area: float, options: BlobsOptions, rng: np.random.Generator) -> U8:
    """uint8 HW with exactly max(1, round(area * H * W)) pixels of 1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    dy, dx = y - rng.uniform(0, height - 1), x - rng.uniform(0, width - 1)
    turn, stretch = rng.uniform(0, pi), rng.uniform(1.0, options.max_stretch)
    along, across = dx * cos(turn) + dy * sin(turn), dy * cos(turn) - dx * sin(turn)
    along, across = along / stretch**0.5, across * stretch**0.5
    rank = np.hypot(along, across) / outline(np.arctan2(across, along), options.waviness, rng)
    count = max(1, round(area * height * width))
    mask = np.zeros(height * width, np.uint8)
    mask[np.argsort(rank, axis=None, kind="stable")[:count]] = ARTIFACT
    return mask.reshape(height, width)


def outline(angle: NDArray[np.float64], waviness: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative radius at each angle, 1 - waviness .. 1 + waviness: 1 plus harmonics 2..5 of falling strength."""
    radius = np.zeros_like(angle)
    weights = [1.0 / k for k in range(2, 6)]
    for k, weight in zip(range(2, 6), weights, strict=True):
        strength, phase = rng.uniform(0, weight / sum(weights)), rng.uniform(0, 2 * pi)
        radius += strength * np.cos(k * angle + phase)
    return 1.0 + waviness * radius
