"""What the nearest valid scene leaves unexplained of a picture, and which of it is a fault."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.oracle.fit_background import Backdrop
from miniworld.world.raster import Array
from miniworld.world.scenes import SIZE

Mask = NDArray[np.uint8]
EIGHT = np.ones((3, 3), dtype=bool)
"neighbours of a pixel, the diagonal ones too"


@dataclass(frozen=True)
class Thresholds:
    """Frozen on the calibration split; see docs/miniworld.md."""

    tolerance: float = 29.0
    "difference, 0..255 units, that still counts as the same colour"
    inside: float = 15.0
    "the same on things, which have no texture"
    core: float = 16.0
    "excess over the tolerance that a component must reach somewhere"
    mass: float = 150.0
    "sum of excess over a component's pixels that makes it a fault"
    area: int = 12
    "fewest pixels in excess"
    border: int = 2
    "width of the picture's rim that is not judged: there the autoencoder blurs"
    letter: float = 0.88
    "correlation with the right letter below which a letter is wrong"
    rival: float = 0.02
    "how much better another letter, or a mirrored one, may correlate before a letter is wrong"


def beyond(a: Array, b: Array, limit: float, reach: int = 3) -> Array:
    """How far a lies outside the range that b takes near by, and b outside a's, less `limit`: HW, >= 0.

    Near by: one pixel sideways, `reach` // 2 pixels up and down.
    """
    size = (reach, 3, 1)

    def outside(p: Array, q: Array) -> Array:
        low, high = ndimage.minimum_filter(q, size, mode="nearest"), ndimage.maximum_filter(q, size, mode="nearest")
        return np.asarray(np.maximum(low - p, p - high).max(-1))

    return np.maximum(np.maximum(outside(a, b), outside(b, a)) - limit, 0).astype(np.float32)


def excess_of(
    picture: Array, drawn: Array, covered: NDArray[np.bool_], horizon: NDArray[np.bool_], limits: Thresholds
) -> Array:
    """How far each pixel is from what the nearest scene allows: HW, 0..255 units, 0 where it is allowed.

    Least is allowed on things; on the background textures count as valid, and near the horizon three rows of shift.
    """
    away = beyond(picture, drawn, limits.tolerance)
    inner = ndimage.binary_erosion(covered, EIGHT)
    away = np.where(inner, beyond(picture, drawn, limits.inside), away)
    away = np.where(horizon & ~covered, beyond(picture, drawn, limits.tolerance, 7), away)
    rim = limits.border
    return np.pad(away[rim:-rim, rim:-rim], rim) if rim else away


def near_horizon(backdrop: Backdrop) -> NDArray[np.bool_]:
    """HW bool: the pixels within four rows of the horizon, whose exact place nobody could call a fault."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    ground = backdrop.ground
    return np.asarray(np.abs(y - ground.horizon - ground.tilt * (x - SIZE / 2)) < 4)


def faults_in(excess: Array, limits: Thresholds) -> Mask:
    """Components of the excess that are large and strong enough, each filled and widened by one pixel."""
    seeds = excess > 0
    labels, count = ndimage.label(ndimage.binary_dilation(seeds, EIGHT), EIGHT)
    mask = np.zeros(excess.shape, dtype=bool)
    for k in range(1, count + 1):
        own = (labels == k) & seeds
        strong = excess[own].max(initial=0) >= limits.core
        if own.sum() >= limits.area and strong and excess[own].sum() >= limits.mass:
            mask |= labels == k
    padded = ndimage.binary_closing(np.pad(mask, 3), EIGHT, iterations=2)[3:-3, 3:-3]
    return np.asarray(ndimage.binary_fill_holes(padded | mask)).astype(np.uint8)
