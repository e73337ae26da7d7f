"""Drawing by signed distances: every shape is a distance to its edge, so edges are smooth at any place and size.

Legend: u, v are coordinates in a thing's own frame, in units of its size s, v downwards; a layer's `distance` is in
the same units, negative inside. Pictures are float32 HWC, 0..255, until `render.render` rounds them to uint8.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from miniworld.world.scenes import SIZE, Thing, half_extent

Array = NDArray[np.float32]
Point = tuple[float, float]
Distance = Callable[[Array, Array], Array]
"""From coordinates u, v to the distance there."""
_CENTRES = np.arange(SIZE, dtype=np.float32) + 0.5
PIXEL_Y, PIXEL_X = np.meshgrid(_CENTRES, _CENTRES, indexing="ij")
"""HW float32: the coordinates of every pixel's centre."""


@dataclass(frozen=True)
class Layer:
    """One flat-coloured shape of a thing; later layers cover earlier ones."""

    part: str
    colour: tuple[float, float, float]
    distance: Distance


# Equal shapes are one object, so that what a shape covers can be kept by it.
same_object = lru_cache(maxsize=4096)


@same_object
def ellipse(cx: float, cy: float, rx: float, ry: float) -> Distance:
    """Approximate distance to an ellipse (first order: exact on the edge, good near it)."""

    def distance(u: Array, v: Array) -> Array:
        p, q = (u - cx) / rx, (v - cy) / ry
        r = np.sqrt(p * p + q * q) + 1e-6
        slope = np.sqrt((p / rx) ** 2 + (q / ry) ** 2) + 1e-6
        return r * (r - 1.0) / slope

    return distance


@same_object
def box(cx: float, cy: float, hx: float, hy: float, radius: float = 0.0) -> Distance:
    """Distance to a box of half sizes hx, hy with rounded corners."""

    def distance(u: Array, v: Array) -> Array:
        p, q = np.abs(u - cx) - (hx - radius), np.abs(v - cy) - (hy - radius)
        outside = np.sqrt(np.maximum(p, 0) ** 2 + np.maximum(q, 0) ** 2)
        return outside + np.minimum(np.maximum(p, q), 0) - radius

    return distance


def stroke(points: tuple[Point, ...], radius: float) -> Distance:
    """Distance to a polyline drawn with a round pen."""
    return strokes((points,), radius)


@same_object
def strokes(lines: tuple[tuple[Point, ...], ...], radius: float) -> Distance:
    """Distance to several polylines drawn with one round pen, all segments in one go."""
    pairs = [(a, b) for line in lines for a, b in pairwise(line)]
    seg = np.asarray(pairs, dtype=np.float32)
    ax, ay = seg[:, 0, 0, None, None], seg[:, 0, 1, None, None]
    dx, dy = seg[:, 1, 0, None, None] - ax, seg[:, 1, 1, None, None] - ay
    squared_length = dx * dx + dy * dy + 1e-9

    def distance(u: Array, v: Array) -> Array:
        pu, pv = u[None] - ax, v[None] - ay
        t = np.minimum(np.maximum((pu * dx + pv * dy) / squared_length, 0), 1)
        squared = (pu - t * dx) ** 2 + (pv - t * dy) ** 2
        return np.sqrt(squared.min(axis=0)) - radius

    return distance


def _beyond(u: Array, v: Array, first: Point, last: Point) -> Array:
    """Distance to the left of the line from `first` to `last`, negative on its right."""
    (x0, y0), (x1, y1) = first, last
    return cast(Array, ((u - x0) * (y1 - y0) - (v - y0) * (x1 - x0)) / math.hypot(x1 - x0, y1 - y0))


@same_object
def polygon(points: tuple[Point, ...]) -> Distance:
    """Distance to a convex polygon given clockwise on the screen (exact inside and along its sides)."""

    def distance(u: Array, v: Array) -> Array:
        sides = zip(points, points[1:] + points[:1], strict=True)
        return functools.reduce(np.maximum, (_beyond(u, v, *ends) for ends in sides))

    return distance


@same_object
def without(a: Distance, b: Distance) -> Distance:
    """What of the first shape lies outside the second."""
    return lambda u, v: np.maximum(a(u, v), -b(u, v))


def cover_of(distance: Distance, u: Array, v: Array, sharp: float) -> Array:
    """How much of each pixel a shape covers, 0..1; `sharp` is the number of pixels in a unit of u and v."""
    cover = np.float32(0.5) - distance(u, v) * np.float32(sharp)
    np.maximum(cover, 0, out=cover)  # twice as fast as np.clip on pictures this small
    return np.minimum(cover, 1, out=cover)


def window(thing: Thing, margin: float = 2.0) -> tuple[slice, slice]:
    """Rows and columns of the picture that a thing can touch."""
    w, h = half_extent(thing)
    rows = slice(max(0, math.floor(thing.y - h - margin)), min(SIZE, math.ceil(thing.y + h + margin)))
    cols = slice(max(0, math.floor(thing.x - w - margin)), min(SIZE, math.ceil(thing.x + w + margin)))
    return rows, cols


def frame(thing: Thing, rows: slice, cols: slice) -> tuple[Array, Array]:
    """Coordinates u, v of the pixel centres of a window in the thing's own frame."""
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - thing.y)
    x = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] + np.float32(0.5 - thing.x)
    c, n = np.float32(math.cos(thing.rot) / thing.s), np.float32(math.sin(thing.rot) / thing.s)
    u, v = x * c + y * n, y * c - x * n
    return (-u if thing.flip else u), v


def paint_layers(
    picture: Array, thing: Thing, layers: list[Layer], labels: NDArray[np.uint8] | None = None, label: int = 0
) -> None:
    """Draw layers over `picture` (HWC float32, 0..255) in place; `labels` (HW) gets `label` where they cover half."""
    rows, cols = window(thing)
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return
    u, v = frame(thing, rows, cols)
    patch = picture[rows, cols]
    for layer in layers:
        cover = cover_of(layer.distance, u, v, thing.s)
        patch += cover[..., None] * (np.asarray(layer.colour, dtype=np.float32) - patch)
        if labels is not None:
            labels[rows, cols][cover >= 0.5] = label
