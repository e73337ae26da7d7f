"""What the nearest valid scene leaves unexplained of a picture, and which of it is a fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.oracle.fit_background import Background
from miniworld.oracle.thresholds import Thresholds
from miniworld.world.raster import PIXEL_X, PIXEL_Y, Array
from miniworld.world.scenes import SIZE
from shards.masks import label_components

Mask = NDArray[np.uint8]
EIGHT = np.ones((3, 3), dtype=bool)
"""Neighbours of a pixel, the diagonal ones too."""


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


def near_horizon(background: Background) -> NDArray[np.bool_]:
    """HW bool: the pixels within four rows of the horizon, whose exact place nobody could call a fault."""
    y, x = PIXEL_Y.astype(np.float64), PIXEL_X.astype(np.float64)
    ground = background.ground
    return np.asarray(np.abs(y - ground.horizon - ground.tilt * (x - SIZE / 2)) < 4)


def faults_in(excess: Array, limits: Thresholds) -> Mask:
    """Components of the excess that are large and strong enough, each filled and widened by one pixel."""
    seeds = excess > 0
    labels, count = label_components(ndimage.binary_dilation(seeds, EIGHT))
    mask = np.zeros(excess.shape, dtype=bool)
    for k in range(1, count + 1):
        own = (labels == k) & seeds
        strong = excess[own].max(initial=0) >= limits.core
        if own.sum() >= limits.area and strong and excess[own].sum() >= limits.mass:
            mask |= labels == k
    padded = ndimage.binary_closing(np.pad(mask, 3), EIGHT, iterations=2)[3:-3, 3:-3]
    return np.asarray(ndimage.binary_fill_holes(padded | mask)).astype(np.uint8)
