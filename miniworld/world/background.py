"""Sky and ground: two gradients that meet at a horizon, textures, and the light over all of it.

Pictures are float32 HWC, 0..255.
"""

from __future__ import annotations

import math

import numpy as np

from miniworld.world.colours import GROUNDS, SKIES
from miniworld.world.raster import PIXEL_X, PIXEL_Y, Array
from miniworld.world.scenes import SIZE, Ground


def texture(name: str, scale: float, angle: float, seed: int) -> Array:
    """HW float32 in -1..1: the pattern that roughens a sky or a ground."""
    if name == "plain":
        return np.zeros((SIZE, SIZE), dtype=np.float32)
    k = np.float32(2 * math.pi / scale)
    a = PIXEL_X * np.float32(math.cos(angle)) + PIXEL_Y * np.float32(math.sin(angle))
    b = PIXEL_Y * np.float32(math.cos(angle)) - PIXEL_X * np.float32(math.sin(angle))
    if name == "stripes":
        return np.sin(k * a)
    if name == "checks":
        return np.clip(2.0 * np.sin(k * a) * np.sin(k * b), -1, 1)
    if name == "dots":
        return np.clip(2.0 * (np.cos(k * a) + np.cos(k * b)) - 2.6, -0.5, 1)
    if name == "speckle":
        rng = np.random.Generator(np.random.PCG64(seed))
        cell = max(2, round(scale / 2.5))
        coarse = rng.uniform(-1, 1, (SIZE // cell + 2, SIZE // cell + 2)).astype(np.float32)
        return _bilinear(coarse, cell)
    raise ValueError(f"unknown texture {name!r}")


def _bilinear(coarse: Array, cell: int) -> Array:
    at = np.arange(SIZE, dtype=np.float32) / np.float32(cell)
    low = at.astype(np.int64)
    part = (at - low)[:, None]
    rows = coarse[low] * (1 - part) + coarse[low + 1] * part
    return (rows[:, low] * (1 - part.T) + rows[:, low + 1] * part.T).astype(np.float32)


def light(ground: Ground) -> Array:
    """HW1 float32: what the scene's light multiplies every colour by."""
    field = 1.0 + ground.light_x * (PIXEL_X / SIZE - 0.5) + ground.light_y * (PIXEL_Y / SIZE - 0.5)
    return (ground.gain * field)[..., None].astype(np.float32)


def gradients(ground: Ground, y: Array, x: Array, sky_rough: Array | float = 0.0, rough: Array | float = 0.0) -> Array:
    """Sky and ground colours at pixel centres y, x (HW each), before the light: float32 HWC.

    `sky_rough` and `rough` (HW, 0..255 units) are added to sky and ground.
    """
    line = np.float32(ground.horizon) + np.float32(ground.tilt) * (x - SIZE / 2)
    down = np.clip(y / np.maximum(line, 1), 0, 1)[..., None]
    below = np.clip((y - line) / np.maximum(SIZE - line, 1), 0, 1)[..., None]
    top, low = (np.asarray(c, dtype=np.float32) for c in SKIES[ground.sky])
    far, near = (np.asarray(c, dtype=np.float32) for c in GROUNDS[ground.ground])
    sky = top + (low - top) * down + np.asarray(sky_rough, dtype=np.float32)[..., None]
    earth = far + (near - far) * below + np.asarray(rough, dtype=np.float32)[..., None]
    cover = np.clip(y - line + np.float32(0.5), 0, 1)[..., None]
    return (sky + (earth - sky) * cover).astype(np.float32)


def draw_ground(ground: Ground) -> Array:
    """HWC float32, 0..255, before the light: sky and ground with their textures."""
    args = (ground.texture_scale, ground.texture_angle, ground.texture_seed)
    amp = np.float32(ground.texture_amp)
    sky_rough = 0.6 * amp * texture(ground.sky_texture, *args)
    return gradients(ground, PIXEL_Y, PIXEL_X, sky_rough, amp * texture(ground.ground_texture, *args))
