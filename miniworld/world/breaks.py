"""Ways to break one thing: each turns a thing into the layers of a faulty one.

Coordinates u, v are in a thing's own frame, in units of its size (see `objects`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from miniworld.world.colours import SKINS
from miniworld.world.glyphs import GLYPHS, PEN, SYMMETRIC, WORDS, letter_centres, letter_lines
from miniworld.world.objects import (
    FINGER_RADIUS,
    FINGERS,
    OUTLINE,
    WHEELS,
    eye,
    finger_line,
    ink_of,
    layers_of,
    mouth,
    shade,
    wheel,
)
from miniworld.world.raster import Array, Distance, Layer, Point, stroke, strokes
from miniworld.world.scenes import Thing


@dataclass(frozen=True)
class Broken:
    """A faulty thing: its layers, the middle of the fault (u, v), and what was done, as plain JSON values."""

    layers: list[Layer]
    anchor: Point
    details: dict[str, Any] = field(default_factory=dict)


def _spots(layers: list[Layer], part: str) -> list[int]:
    return [i for i, layer in enumerate(layers) if layer.part == part]


def _without(layers: list[Layer], drop: list[int]) -> list[Layer]:
    return [layer for i, layer in enumerate(layers) if i not in drop]


def extra_finger(t: Thing, rng: np.random.Generator) -> Broken:
    """A sixth finger: beyond the little one, between thumb and forefinger, or a second thumb."""
    layers = layers_of(t)
    skin = SKINS[t.skin]
    where = ("little", "fore", "thumb")[int(rng.integers(3))]
    radius = FINGER_RADIUS
    if where == "thumb":
        radius = 0.13
        line: tuple[Point, ...] = ((0.3, 0.48), (0.56, 0.28), (0.72, float(rng.uniform(-0.06, 0.06))))
    else:
        side = 1.0 if where == "little" else -1.0
        angle = float(rng.uniform(0.85, 1.05) if where == "little" else rng.uniform(0.62, 0.72)) * side
        length = float(rng.uniform(0.5, 0.62))
        foot = (0.37 * side, 0.12 if where == "little" else 0.06)
        line = (foot, (foot[0] + length * math.sin(angle), foot[1] - length * math.cos(angle)))
    at = _spots(layers, "hand.finger")[0]
    rim = Layer("hand.finger", shade(skin, 0.55), stroke(line, radius + OUTLINE))
    flesh = Layer("hand.finger", skin, stroke(line, radius))
    sleeve = _spots(layers, "hand.sleeve")[0]
    out = [*layers[:at], rim, *layers[at:sleeve], flesh, *layers[sleeve:]]
    (u0, v0), (u1, v1) = line[-2], line[-1]
    return Broken(out, ((u0 + u1) / 2, (v0 + v1) / 2), {"where": where})


def missing_finger(t: Thing, rng: np.random.Generator) -> Broken:
    """One of the four fingers is not there."""
    layers = layers_of(t)
    k = int(rng.integers(len(FINGERS)))
    line = finger_line(*FINGERS[k], t.spread)
    at = _spots(layers, "hand.finger")[2 * k : 2 * k + 2]
    return Broken(_without(layers, at), _middle(line), {"finger": k})


def fused_fingers(t: Thing, rng: np.random.Generator) -> Broken:
    """Two or three neighbouring fingers grown together."""
    layers = layers_of(t)
    count = int(rng.integers(2, 4))
    k = int(rng.integers(len(FINGERS) - count + 1))
    lines = [finger_line(*FINGERS[i], t.spread) for i in range(k, k + count)]
    filled = []
    for (a, b), (c, d) in itertools.pairwise(lines):
        for share in np.linspace(0, 1, 7):
            filled.append((_between(a, c, float(share)), _between(b, d, float(share))))
    skin = SKINS[t.skin]
    grown = [
        Layer("hand.finger", shade(skin, 0.55), strokes(tuple(filled), FINGER_RADIUS + OUTLINE)),
        Layer("hand.finger", skin, strokes(tuple(filled), FINGER_RADIUS)),
    ]
    at = _spots(layers, "hand.finger")[2 * k : 2 * (k + count)]
    out = [*layers[: at[0]], *grown, *layers[at[-1] + 1 :]]
    return Broken(out, _middle(lines[count // 2]), {"fingers": list(range(k, k + count))})


def _between(a: Point, b: Point, share: float) -> Point:
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))


def _middle(line: tuple[Point, ...]) -> Point:
    return _between(line[0], line[-1], 0.6)


def extra_eye(t: Thing, rng: np.random.Generator) -> Broken:
    """A third eye on the forehead or on a cheek."""
    u, v = ((0.0, -0.45), (-0.42, 0.32), (0.42, 0.32))[int(rng.integers(3))]
    u, v = u + float(rng.uniform(-0.05, 0.05)), v + float(rng.uniform(-0.05, 0.05))
    return Broken(layers_of(t) + eye(u, t.gaze, v), (u, v), {"at": [round(u, 3), round(v, 3)]})


def missing_eye(t: Thing, rng: np.random.Generator) -> Broken:
    """One eye is smooth skin."""
    layers = layers_of(t)
    k = int(rng.integers(2))
    return Broken(_without(layers, _spots(layers, "face.eye")[2 * k : 2 * k + 2]), (0.66 * k - 0.33, -0.08), {"eye": k})


def extra_mouth(t: Thing, rng: np.random.Generator) -> Broken:
    """A second mouth on the chin or the forehead."""
    chin = bool(rng.integers(2))
    v = float(rng.uniform(0.84, 0.88)) if chin else float(rng.uniform(-0.58, -0.5))
    return Broken(layers_of(t) + mouth(t.mouth, t.skin, v), (0.0, v), {"where": "chin" if chin else "forehead"})


def missing_mouth(t: Thing, rng: np.random.Generator) -> Broken:
    """Smooth skin where the mouth should be."""
    layers = layers_of(t)
    return Broken(_without(layers, _spots(layers, "face.mouth")), (0.0, 0.55), {})


def _letter(t: Thing, rng: np.random.Generator, allowed: Callable[[str], bool]) -> int | None:
    able = [i for i, letter in enumerate(t.word) if allowed(letter)]
    return able[int(rng.integers(len(able)))] if able else None


def _relettered(t: Thing, k: int, distance: Distance, details: dict[str, Any]) -> Broken:
    layers = layers_of(t)
    layers[_spots(layers, "sign.letter")[k]] = Layer("sign.letter", ink_of(t.paint), distance)
    return Broken(layers, (letter_centres(len(t.word))[k], 0.0), {"letter": k} | details)


def wrong_letter(t: Thing, rng: np.random.Generator) -> Broken | None:
    """One letter exchanged, so that no word results and only the word as it was is one letter away."""
    k = int(rng.integers(len(t.word)))
    letter = sorted(GLYPHS)[int(rng.integers(len(GLYPHS)))]
    spelled = t.word[:k] + letter + t.word[k + 1 :]
    if neighbours(spelled) != [t.word]:
        return None
    lines = letter_lines(letter, letter_centres(len(t.word))[k])
    return _relettered(t, k, strokes(lines, PEN), {"spelled": spelled})


def neighbours(spelled: str) -> list[str]:
    """The words of the world that differ from a spelling in at most one letter."""
    same = [w for w in WORDS if len(w) == len(spelled)]
    return [w for w in same if sum(a != b for a, b in zip(w, spelled, strict=True)) <= 1]


def mirrored_letter(t: Thing, rng: np.random.Generator) -> Broken | None:
    """One letter the wrong way round."""
    k = _letter(t, rng, lambda letter: letter not in SYMMETRIC)
    if k is None:
        return None
    centre = letter_centres(len(t.word))[k]
    lines = tuple(tuple((2 * centre - u, v) for u, v in line) for line in letter_lines(t.word[k], centre))
    return _relettered(t, k, strokes(lines, PEN), {"mirrored": t.word[k]})


def melted_letter(t: Thing, rng: np.random.Generator) -> Broken | None:
    """One letter run out of shape, until it is like no letter."""
    k = int(rng.integers(len(t.word)))
    centre = letter_centres(len(t.word))[k]
    straight = strokes(letter_lines(t.word[k], centre), PEN * float(rng.uniform(1.1, 1.6)))
    swing = rng.uniform(0.28, 0.5, 2)
    wave, phase = rng.uniform(2.2, 3.6, 2), rng.uniform(0, 2 * math.pi, 2)

    def distance(u: Array, v: Array) -> Array:
        bent_u = u + np.float32(swing[0]) * np.sin(np.float32(wave[0]) * v + np.float32(phase[0]))
        bent_v = v + np.float32(swing[1]) * np.sin(np.float32(wave[1]) * (u - centre) + np.float32(phase[1]))
        # The melt stays in its letter's cell.
        walls = np.maximum(np.abs(u - centre) - np.float32(0.74), np.abs(v) - np.float32(1.2))
        return np.maximum(straight(bent_u.astype(np.float32), bent_v.astype(np.float32)), walls)

    if likeness(distance, centre) > 0.5:
        return None
    return _relettered(t, k, distance, {"melted": t.word[k]})


def likeness(distance: Distance, centre: float) -> float:
    """The largest overlap (intersection over union) of a drawn shape with any letter, both at 12 pixels a letter."""
    grid = np.linspace(-1.2, 1.2, 29, dtype=np.float32)
    u, v = np.meshgrid(grid[3:-3] * 0.85 + np.float32(centre), grid, indexing="xy")
    mine = distance(u, v) < 0
    best = 0.0
    for letter in GLYPHS:
        other = strokes(letter_lines(letter, centre), PEN)(u, v) < 0
        best = max(best, float((mine & other).sum() / max(1, (mine | other).sum())))
    return best


def missing_wheel(t: Thing, rng: np.random.Generator) -> Broken:
    """A car or bus on one wheel."""
    layers = layers_of(t)
    k = int(rng.integers(2))
    drop = _spots(layers, f"{t.kind}.wheel")[2 * k : 2 * k + 2]
    return Broken(_without(layers, drop), WHEELS[t.kind][k], {"wheel": k})


def extra_wheel(t: Thing, rng: np.random.Generator) -> Broken:
    """A third wheel, between the others or on the roof."""
    top = bool(rng.random() < 0.3)
    roof = -0.52 if t.kind == "car" else -0.6
    u = float(rng.uniform(-0.2, 0.15) if top else rng.uniform(-0.08, 0.08))
    v = roof if top else WHEELS[t.kind][0][1]
    return Broken(layers_of(t) + wheel(t.kind, u, v), (u, v), {"where": "roof" if top else "middle"})


MELTS: dict[str, tuple[Point, ...]] = {
    "face": ((-0.33, -0.08), (0.33, -0.08), (0.0, 0.5), (0.5, 0.45), (-0.5, 0.45), (0.0, 0.05)),
    "hand": ((-0.35, -0.35), (-0.1, -0.5), (0.15, -0.5), (0.4, -0.3), (-0.6, 0.2)),
    "car": ((-0.56, 0.3), (0.56, 0.3), (-0.4, -0.3), (0.4, -0.3), (0.85, 0.1)),
    "bus": ((-0.58, 0.42), (0.58, 0.42), (-0.45, -0.28), (0.45, -0.28), (0.9, -0.2)),
}
"""Where each kind of thing may melt."""


def melted_shape(t: Thing, rng: np.random.Generator) -> Broken:
    """Part of a thing stirred and run: a smooth bend of everything near one point."""
    spots = MELTS[t.kind]
    cu, cv = spots[int(rng.integers(len(spots)))]
    reach = float(rng.uniform(0.3, 0.42))
    turn = float(rng.choice([-1.0, 1.0]) * rng.uniform(1.3, 2.2))
    sag = float(rng.uniform(0.15, 0.4))
    wave, phase = float(rng.uniform(5, 8)), float(rng.uniform(0, 2 * math.pi))

    def bend(u: Array, v: Array) -> tuple[Array, Array]:
        p, q = u - np.float32(cu), v - np.float32(cv)
        near = np.exp(-(((p * p + q * q) / np.float32(reach**2)) ** 2))
        c, n = np.cos(np.float32(turn) * near), np.sin(np.float32(turn) * near)
        run = near * np.float32(sag) * np.sin(np.float32(wave) * p + np.float32(phase))
        return (cu + p * c - q * n).astype(np.float32), (cv + p * n + q * c - run).astype(np.float32)

    layers = [Layer(layer.part, layer.colour, _bent(layer.distance, bend)) for layer in layers_of(t)]
    details = {"at": [cu, cv], "reach": round(reach, 3), "turn": round(turn, 3)}
    return Broken(layers, (cu, cv), details)


def _bent(distance: Distance, bend: Callable[[Array, Array], tuple[Array, Array]]) -> Distance:
    return lambda u, v: distance(*bend(u, v))
