"""Faults drawn by the renderer itself, with exact masks: the ones that people name when a picture is broken.

A fault is a changed list of layers of one thing (or two things blended into each other). Its mask is where the faulty
picture visibly differs from the valid one, closed into the compact region that a person would outline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.world import breaks
from miniworld.world.background import draw_ground, light
from miniworld.world.breaks import Broken
from miniworld.world.objects import layers_of
from miniworld.world.raster import Array, Layer, cover_of, frame
from miniworld.world.scenes import SIZE, Scene, Thing, half_extent, sample_scene
from shards.errors import ConfigError
from shards.masks import label_components

Mask = NDArray[np.uint8]

BREAKERS: dict[str, tuple[tuple[str, ...], Callable[[Thing, np.random.Generator], Broken | None]]] = {
    "extra_finger": (("hand",), breaks.extra_finger),
    "missing_finger": (("hand",), breaks.missing_finger),
    "fused_fingers": (("hand",), breaks.fused_fingers),
    "extra_eye": (("face",), breaks.extra_eye),
    "missing_eye": (("face",), breaks.missing_eye),
    "extra_mouth": (("face",), breaks.extra_mouth),
    "missing_mouth": (("face",), breaks.missing_mouth),
    "wrong_letter": (("sign",), breaks.wrong_letter),
    "melted_letter": (("sign",), breaks.melted_letter),
    "mirrored_letter": (("sign",), breaks.mirrored_letter),
    "missing_wheel": (("car", "bus"), breaks.missing_wheel),
    "extra_wheel": (("car", "bus"), breaks.extra_wheel),
    "melted_shape": (("face", "hand", "car", "bus"), breaks.melted_shape),
}
"""Kind of fault -> kinds of things that can have it, and what breaks one."""

FAULT_KINDS = (*BREAKERS, "merged_objects")
VISIBLE = 14
"""A pixel visibly differs when a channel differs by more than this (0..255)."""
MIN_PIXELS, MIN_CHANGE = 10, 42.0
"""Least pixels that differ, and least mean of their largest channel difference, for a fault to be plain."""
MIN_BLEND = 32.0
"""Least mean change over the whole zone where two things are merged."""
EDGE = 4.0
"""How far inside the picture the middle of a fault must lie, in pixels."""
TRIES = 16


@dataclass(frozen=True)
class Fault:
    """One fault of a picture: its mask is uint8 HW, 0 or 1."""

    kind: str
    thing: int
    """Index of the broken thing in the scene's things."""
    mask: Mask
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """A faulty picture.

    image: uint8 HWC RGB, after light. valid: the same without its faults (for merged things: both drawn whole).
    mask: uint8 HW, 1 where any fault is. scene: the scene as drawn (merging moves or adds a thing).
    `kind`, `thing` and `details` are the first fault's.
    """

    image: NDArray[np.uint8]
    valid: NDArray[np.uint8]
    mask: Mask
    scene: Scene
    faults: tuple[Fault, ...]

    @property
    def kind(self) -> str:
        return self.faults[0].kind

    @property
    def thing(self) -> int:
        return self.faults[0].thing

    @property
    def details(self) -> dict[str, Any]:
        return self.faults[0].details


def kinds_for(scene: Scene) -> tuple[str, ...]:
    """The kinds of faults that the things of a scene can have, in the order of FAULT_KINDS."""
    there = {t.kind for t in scene.things}
    found = [k for k, (kinds, _) in BREAKERS.items() if there.intersection(kinds)]
    return (*found, "merged_objects") if scene.things else tuple(found)


def draw_fault(scene: Scene, kind: str, rng: np.random.Generator) -> Drawn | None:
    """One fault of a kind in a scene; None where the scene has nothing to break that way, or nothing plainly visible.

    Raises ConfigError (a ValueError) for a kind that is not in FAULT_KINDS.
    """
    if kind not in FAULT_KINDS:
        raise ConfigError(f"unknown kind of fault {kind!r}: choose one of {', '.join(FAULT_KINDS)}")
    if kind == "merged_objects":
        return _merged(scene, rng)
    plan = _plan(scene, kind, rng, frozenset())
    if plan is None:
        return None
    fault, layers = plan
    return _finish(scene, (fault,), {fault.thing: layers})


def random_fault(scene: Scene, rng: np.random.Generator, second: float = 0.35) -> Drawn | None:
    """A fault of a kind drawn uniformly among those the scene allows; None when no kind can be drawn plainly.

    Where a second thing stands unbroken it breaks too with probability `second`.
    """
    kinds = list(kinds_for(scene))
    for k in rng.permutation(len(kinds)):
        if kinds[k] == "merged_objects":
            drawn = _merged(scene, rng)
            if drawn is not None:
                return drawn
            continue
        first = _plan(scene, kinds[k], rng, frozenset())
        if first is None:
            continue
        plans = [first]
        if len(scene.things) > 1 and rng.random() < second:
            plans += _another(scene, rng, frozenset({first[0].thing}))
        return _finish(scene, tuple(f for f, _ in plans), {f.thing: layers for f, layers in plans})
    return None


def _another(scene: Scene, rng: np.random.Generator, taken: frozenset[int]) -> list[tuple[Fault, list[Layer]]]:
    kinds = list(BREAKERS)
    for k in rng.permutation(len(kinds)):
        plan = _plan(scene, kinds[k], rng, taken)
        if plan is not None:
            return [plan]
    return []


def _plan(scene: Scene, kind: str, rng: np.random.Generator, taken: frozenset[int]) -> tuple[Fault, list[Layer]] | None:
    """A plainly visible fault of one thing that is not `taken`, with the thing's layers as broken."""
    kinds, breaker = BREAKERS[kind]
    able = [i for i, t in enumerate(scene.things) if t.kind in kinds and i not in taken]
    if not able:
        return None
    valid = compose(scene, {})
    for _ in range(TRIES):
        index = able[int(rng.integers(len(able)))]
        thing = scene.things[index]
        broken = breaker(thing, rng)
        if broken is None or not _inside(thing, broken.anchor):
            continue
        mask = fault_mask(compose(scene, {index: broken.layers}), valid)
        if mask is not None:
            return Fault(kind, index, mask, broken.details), broken.layers
    return None


def _finish(scene: Scene, faults: tuple[Fault, ...], layers: dict[int, list[Layer]]) -> Drawn:
    mask = np.maximum.reduce([f.mask for f in faults])
    return Drawn(_round(compose(scene, layers)), _round(compose(scene, {})), mask, scene, faults)


def compose(scene: Scene, changed: dict[int, list[Layer]]) -> Array:
    """The scene as float32 HWC, 0..255, with the layers of some things (by index) exchanged."""
    picture = draw_ground(scene.ground)
    for index, thing in enumerate(scene.things):
        _paint(picture, thing, changed.get(index) or layers_of(thing))
    return np.clip(picture * light(scene.ground), 0, 255)


def _paint(picture: Array, thing: Thing, layers: list[Layer], opacity: Array | None = None) -> Array:
    """Draw layers on the whole picture in place (a fault may leave its thing's box); returns HW coverage 0..1."""
    u, v = frame(thing, slice(0, SIZE), slice(0, SIZE))
    covered = np.zeros((SIZE, SIZE), dtype=np.float32)
    before = picture.copy()
    for layer in layers:
        cover = cover_of(layer.distance, u, v, thing.s)
        picture += cover[..., None] * (np.asarray(layer.colour, dtype=np.float32) - picture)
        covered = np.maximum(covered, cover)
    if opacity is not None:
        picture[:] = before + opacity[..., None] * (picture - before)
    return covered


def _inside(thing: Thing, anchor: tuple[float, float]) -> bool:
    u, v = (-anchor[0] if thing.flip else anchor[0]), anchor[1]
    c, n = math.cos(thing.rot) * thing.s, math.sin(thing.rot) * thing.s
    x, y = thing.x + u * c - v * n, thing.y + u * n + v * c
    return EDGE <= x <= SIZE - EDGE and EDGE <= y <= SIZE - EDGE


def fault_mask(faulty: Array, valid: Array) -> Mask | None:
    """uint8 HW: where two pictures visibly differ, closed to one region; None when that is too little to see."""
    change = np.abs(_round(faulty).astype(np.float32) - _round(valid)).max(axis=-1)
    seen = change > VISIBLE
    if int(seen.sum()) < MIN_PIXELS or float(change[seen].mean()) < MIN_CHANGE:
        return None
    return compact(seen)


def compact(seen: NDArray[np.bool_]) -> Mask:
    """Close gaps (by up to 2, then up to 4 pixels until one piece is left) and fill holes; uint8 HW, 0 or 1."""
    closed = seen
    for radius in (2, 3, 4):
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        wide = np.pad(seen, 2 * radius)
        disc = x * x + y * y <= radius * radius + 1
        closed = ndimage.binary_closing(wide, disc)[2 * radius : -2 * radius, 2 * radius : -2 * radius]
        closed = ndimage.binary_fill_holes(closed | seen)
        if label_components(closed)[1] == 1:
            break
    return closed.astype(np.uint8)


def _round(picture: Array) -> NDArray[np.uint8]:
    return np.rint(picture).astype(np.uint8)


def _merged(scene: Scene, rng: np.random.Generator) -> Drawn | None:
    """Two things grown into each other: where both lie, the colours of one run into those of the other."""
    if not scene.things:
        return None
    for _ in range(TRIES):
        pair = _bring_together(scene, rng)
        if pair is None:
            continue
        moved, a, b = pair
        drawn = _blend(moved, a, b, rng)
        if drawn is not None:
            return drawn
    return None


def _bring_together(scene: Scene, rng: np.random.Generator) -> tuple[Scene, int, int] | None:
    """The scene with thing b (another of its things, or a new one) moved onto the edge of thing a."""
    a = int(rng.integers(len(scene.things)))
    others = [i for i in range(len(scene.things)) if i != a]
    things = list(scene.things)
    if others:
        b = others[int(rng.integers(len(others)))]
    else:
        spare = sample_scene(int(rng.integers(2**39))).things
        things.append(spare[0])
        b = len(things) - 1
    near, far = things[a], things[b]
    angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.75, 1.25)
    distance = reach * (_reach(near, angle) + _reach(far, angle)) * 0.72
    x, y = near.x + distance * math.cos(angle), near.y + distance * math.sin(angle)
    if not (8 <= x <= SIZE - 8 and 8 <= y <= SIZE - 8):
        return None
    things[b] = replace(far, x=float(x), y=float(y))
    return replace(scene, things=tuple(things)), a, b


def _reach(thing: Thing, angle: float) -> float:
    """Distance from a thing's centre to the edge of its box in a direction."""
    w, h = half_extent(thing)
    return min(w / max(abs(math.cos(angle)), 1e-6), h / max(abs(math.sin(angle)), 1e-6))


def _blend(scene: Scene, a: int, b: int, rng: np.random.Generator) -> Drawn | None:
    blank = np.zeros((SIZE, SIZE, 3), dtype=np.float32)
    covers = [_paint(blank.copy(), t, layers_of(t)) for t in scene.things]
    both = np.minimum(covers[a], covers[b])
    size, smaller = float(both.sum()), min(float(covers[a].sum()), float(covers[b].sum()))
    if size < 48 or not 0.12 <= size / smaller <= 0.5:
        return None
    for i, cover in enumerate(covers):
        if i not in (a, b) and (np.minimum(cover, np.maximum(covers[a], covers[b])) > 0).any():
            return None
    order = [i for i in range(len(scene.things)) if i != b] + [b]
    # A smooth field that crosses from one thing to the other inside the overlap.
    field_ = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3.0, mode="nearest")
    run = np.clip(0.5 + 0.22 * field_ / (field_.std() + 1e-9), 0.15, 0.85).astype(np.float32)
    opacity = 1 - np.clip(2 * both, 0, 1) * (1 - run)
    pictures = []
    for share in (None, opacity):
        picture = draw_ground(scene.ground)
        for i in order:
            _paint(picture, scene.things[i], layers_of(scene.things[i]), share if i == b else None)
        pictures.append(np.clip(picture * light(scene.ground), 0, 255))
    whole, faulty = pictures
    if fault_mask(faulty, whole) is None:
        return None
    change = np.abs(_round(faulty).astype(np.float32) - _round(whole)).max(axis=-1)
    seen = (both > 0.02) | (change > VISIBLE)
    if float(change[seen].mean()) < MIN_BLEND:
        return None
    details = {"with": b, "kinds": [scene.things[a].kind, scene.things[b].kind]}
    fault = Fault("merged_objects", a, compact(seen), details)
    drawn = replace(scene, things=tuple(scene.things[i] for i in order))
    fault = replace(fault, thing=order.index(a), details=details | {"with": order.index(b)})
    return Drawn(_round(faulty), _round(whole), fault.mask, drawn, (fault,))
