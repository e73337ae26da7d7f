"""The nearest valid background of a picture: sky, ground, horizon and light, found in spite of what stands in front.

A robust fit (iteratively reweighted least squares with a bounded influence), so that things and faults hardly pull it.
Pictures are float32 HWC, 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from miniworld.world.background import gradients
from miniworld.world.background import light as lit
from miniworld.world.colours import GROUNDS, SKIES
from miniworld.world.raster import PIXEL_X, PIXEL_Y, Array
from miniworld.world.scenes import SIZE, Ground

_LIGHT = np.stack([np.ones_like(PIXEL_X), PIXEL_X / SIZE - 0.5, PIXEL_Y / SIZE - 0.5], axis=-1)
_SCALE = 18.0
"""Spread, in 0..255 units, above which a pixel loses its say in a fit."""


@dataclass(frozen=True)
class Background:
    """A fitted background."""

    ground: Ground
    picture: Array
    """HWC float32, lit."""
    light: Array
    """HW1 float32, the light that multiplies every colour."""
    cost: float
    """Mean bounded error, 0 (every pixel explained) .. 1."""


def fit_background(image: Array, start: Ground | None = None) -> Background:
    """The background that explains most of the picture; `start` names the colours to try first."""
    names = [(start.sky, start.ground)] if start is not None else []
    best = _search(image, names) if names else None
    if best is None or best.cost > 0.5:
        best = _search(image, _likely_names(image), best)
    return _soften(image, _refine(image, best))


def _search(image: Array, names: list[tuple[str, str]], best: Background | None = None) -> Background:
    for sky, ground in names:
        for horizon in np.arange(27.0, 51.0, 3.0):
            for tilt in (-0.06, 0.0, 0.06):
                tried = _fit_light(image, Ground(sky, ground, float(horizon), tilt), stride=(8, 8), rounds=3)
                if best is None or tried.cost < best.cost:
                    best = tried
    assert best is not None
    return best


def _likely_names(image: Array) -> list[tuple[str, str]]:
    """The three skies and grounds whose colours lie nearest to the top and bottom of the picture."""

    def rank(rows: Array, table: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]], end: int) -> list[str]:
        def miss(name: str) -> float:
            colour = np.asarray(table[name][end], dtype=np.float32)
            gain = np.clip((rows * colour).sum(-1) / (colour * colour).sum(), 0.7, 1.25)[..., None]
            return float(np.minimum(np.abs(rows - gain * colour).max(-1), 60).mean())

        return sorted(table, key=miss)[:3]

    return [(s, g) for s in rank(image[:8], SKIES, 0) for g in rank(image[-6:], GROUNDS, 1)]


def _fit_light(image: Array, ground: Ground, stride: tuple[int, int], rounds: int = 4) -> Background:
    """Light and cost of a ground, on every stride-th row and column."""
    part = (slice(stride[0] // 2, None, stride[0]), slice(stride[1] // 2, None, stride[1]))
    base, target, grid = gradients(ground, PIXEL_Y[part], PIXEL_X[part]), image[part], _LIGHT[part]
    basis = (base[..., None] * grid[..., None, :]).reshape(-1, 3)
    goal = target.reshape(-1)
    # A light far from even is unlikely: the prior steadies pictures that are mostly covered.
    prior = np.diag([1.0, 40.0, 40.0]).astype(np.float32) * (2e3 * 16 / (stride[0] * stride[1]))
    usual = np.array([0.97, 0.0, 0.0], dtype=np.float32)
    solution = usual
    error = np.abs(base * solution[0] - target).max(-1)
    for _ in range(rounds):
        weight = np.repeat((1 / (1 + (error / _SCALE) ** 2) ** 2).reshape(-1), 3)
        weighted = basis * weight[:, None]
        solution = np.linalg.solve(basis.T @ weighted + prior, weighted.T @ goal + prior @ usual).astype(np.float32)
        solution = np.clip(solution, (0.74, -0.3, -0.3), (1.18, 0.3, 0.3)).astype(np.float32)
        error = np.abs(base * (grid @ solution)[..., None] - target).max(-1)
    gain, across, along = (float(v) for v in solution)
    shone = replace(ground, gain=gain, light_x=across / gain, light_y=along / gain)
    cost = float((error**2 / (error**2 + (1.6 * _SCALE) ** 2)).mean())
    return Background(shone, base, grid, cost)


def _refine(image: Array, best: Background) -> Background:
    # Every row, few columns: the horizon's place is told by rows.
    for step, stride in ((2.0, (2, 4)), (1.0, (1, 4)), (0.4, (1, 4))):
        best = _fit_light(image, best.ground, stride)
        turn = 0.015 * step
        moves = [(a, b) for a in (-step, 0.0, step) for b in (-turn, 0.0, turn) if a or b]
        for _ in range(4):
            here = best.ground
            tried = [
                _fit_light(image, replace(here, horizon=here.horizon + a, tilt=here.tilt + b), stride, 3)
                for a, b in moves
            ]
            winner = min(tried, key=lambda t: t.cost)
            if winner.cost >= best.cost:
                break
            best = winner
    light = lit(best.ground)
    return replace(best, picture=gradients(best.ground, PIXEL_Y, PIXEL_X) * light, light=light)


def _soften(image: Array, found: Background, limit: float = 20.0) -> Background:
    """Allow each of sky and ground a small smooth change of colour: a quadratic of at most `limit`."""
    picture = found.picture.copy()
    line = found.ground.horizon + found.ground.tilt * (PIXEL_X - SIZE / 2)
    x, y = PIXEL_X / SIZE - 0.5, PIXEL_Y / SIZE - 0.5
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    for region in (line - 1 > PIXEL_Y, line + 1 < PIXEL_Y):
        error = image[region] - found.picture[region]
        if len(error) < 60:
            continue
        b = basis[region]
        solution = np.zeros((6, 3), dtype=np.float32)
        for _ in range(4):
            miss = np.abs(error - b @ solution).max(-1)
            weight = (1 / (1 + (miss / 12.0) ** 2) ** 2)[:, None]
            solution = np.linalg.solve(b.T @ (b * weight) + 8.0 * np.eye(6), (b * weight).T @ error).astype(np.float32)
        side = (line > PIXEL_Y) if region[0, 0] else (line <= PIXEL_Y)
        picture[side] += np.clip(basis[side] @ solution, -limit, limit)
    return replace(found, picture=picture)
