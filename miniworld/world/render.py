"""A scene to pixels: the picture, which thing and which part lies in front where, and what a thing covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from miniworld.world.background import draw_ground, light
from miniworld.world.objects import PARTS, layers_of
from miniworld.world.raster import Array, frame, paint_layers, window
from miniworld.world.scenes import SIZE, Scene, Thing


def render_float(scene: Scene) -> Array:
    """The scene as float32 HWC, 0..255."""
    picture = draw_ground(scene.ground)
    for thing in scene.things:
        paint_layers(picture, thing, layers_of(thing))
    return np.clip(picture * light(scene.ground), 0, 255)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The scene as uint8 HWC RGB, SIZE x SIZE."""
    return np.rint(render_float(scene)).astype(np.uint8)


def thing_labels(scene: Scene) -> NDArray[np.uint8]:
    """HW uint8: 0 ground, k + 1 where scene.things[k] covers at least half of the pixel."""
    labels = np.zeros((SIZE, SIZE), dtype=np.uint8)
    canvas: Array = np.zeros((SIZE, SIZE, 3), dtype=np.float32)
    for k, thing in enumerate(scene.things):
        paint_layers(canvas, thing, layers_of(thing), labels, k + 1)
    return labels


def part_labels(scene: Scene) -> NDArray[np.uint8]:
    """HW uint8: 0 ground, k + 1 where PARTS[k] is in front."""
    labels = np.zeros((SIZE, SIZE), dtype=np.uint8)
    canvas: Array = np.zeros((SIZE, SIZE, 3), dtype=np.float32)
    for thing in scene.things:
        for layer in layers_of(thing):
            paint_layers(canvas, thing, [layer], labels, PARTS.index(layer.part) + 1)
    return labels


def silhouette(thing: Thing) -> NDArray[np.bool_]:
    """HW bool: the pixels that a thing covers at least half."""
    rows, cols = window(thing, margin=1.0)
    out = np.zeros((SIZE, SIZE), dtype=bool)
    if rows.stop > rows.start and cols.stop > cols.start:
        u, v = frame(thing, rows, cols)
        near = np.min([layer.distance(u, v) for layer in layers_of(thing)], axis=0)
        out[rows, cols] = near <= 0
    return out
