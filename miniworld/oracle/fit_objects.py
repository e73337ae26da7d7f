"""The nearest valid thing: pose and attributes of one face, hand, sign or vehicle that explain a piece of a picture.

Discrete attributes are tried one after another, the pose is followed downhill by damped Gauss-Newton steps, all against
a bounded error, so that a fault hardly pulls the fit. Pictures are float32 HWC, 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from miniworld.world.colours import HAIRS, PAINTS, SKINS
from miniworld.world.glyphs import WORDS
from miniworld.world.objects import layers_of
from miniworld.world.raster import Array, Distance, cover_of, frame
from miniworld.world.scenes import MAX_TILT, SIZE, SIZES, Thing, half_extent

_KNEE = 45.0
"""Error, in 0..255 units, at which a pixel's say in the fit has halved."""
_SLACK = 1.18
"""How far beyond its usual sizes a thing still counts as valid."""


@dataclass(frozen=True)
class Patch:
    """A window of the picture to explain, with what lies behind."""

    rows: slice
    cols: slice
    image: Array
    behind: Array
    light: Array


@dataclass(frozen=True)
class Fit:
    """A thing and how badly it explains its patch: the mean bounded error, 0..1."""

    thing: Thing
    cost: float


def cut(image: Array, behind: Array, light: Array, rows: slice, cols: slice) -> Patch:
    """The patch of a window, held inside the picture; all pictures are whole, HWC."""
    rows, cols = (slice(max(0, s.start), min(SIZE, s.stop)) for s in (rows, cols))
    return Patch(rows, cols, image[rows, cols], behind[rows, cols], light[rows, cols])


@dataclass
class Covers:
    """What shapes cover in one patch at one pose: things that differ in their looks share most of it."""

    pose: tuple[float, ...]
    u: Array
    v: Array
    known: dict[Distance, Array] = field(default_factory=dict)

    def of(self, distance: Distance, sharp: float) -> Array:
        """HW, 0..1."""
        cover = self.known.get(distance)
        if cover is None:
            cover = self.known[distance] = cover_of(distance, self.u, self.v, sharp)
        return cover


def pose_of(thing: Thing, soft: float) -> tuple[float, ...]:
    """All that decides what a given shape covers."""
    return thing.x, thing.y, thing.s, thing.rot, thing.flip, soft


def covers_at(patch: Patch, thing: Thing, soft: float) -> Covers:
    """Nothing drawn yet, at a thing's pose."""
    return Covers(pose_of(thing, soft), *frame(thing, patch.rows, patch.cols))


def draw_patch(patch: Patch, thing: Thing, soft: float = 1.0, covers: Covers | None = None) -> Array:
    """The thing drawn over the patch's background; `soft` is the width of its edges in pixels.

    `covers` are those of the same patch; they are used, and added to, where the thing has their pose.
    """
    if covers is None or covers.pose != pose_of(thing, soft):
        covers = covers_at(patch, thing, soft)
    # Plane by plane: numpy is three times as fast over rows of pixels as over three colours.
    picture = np.ascontiguousarray(patch.behind.transpose(2, 0, 1))
    light = np.ascontiguousarray(patch.light[..., 0])
    for layer in layers_of(thing):
        change = light * np.asarray(layer.colour, dtype=np.float32)[:, None, None]
        change -= picture
        change *= covers.of(layer.distance, thing.s / soft)
        picture += change
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def cost_of(patch: Patch, picture: Array) -> float:
    """Mean bounded error of a drawn patch, 0..1."""
    return float(bounded_error(picture, patch.image).mean())


def bounded_error(a: Array, b: Array) -> Array:
    """HW, 0..1: how far two pictures lie apart, a half where they do by `_KNEE`."""
    miss = np.square(a - b).mean(-1)
    return np.asarray(miss / (miss + _KNEE**2))


def _choose(patch: Patch, thing: Thing, name: str, values: Iterable[object], soft: float, covers: Covers) -> Thing:
    tried = [replace(thing, **{name: v}) for v in values]  # type: ignore[arg-type]
    return min(tried, key=lambda t: cost_of(patch, draw_patch(patch, t, soft, covers)))


_ATTRIBUTES: dict[str, dict[str, tuple[object, ...]]] = {
    "face": {
        "skin": tuple(SKINS),
        "hair": tuple(HAIRS),
        "style": ("short", "long", "bun"),
        "mouth": ("smiling", "calm", "shouting"),
        "gaze": (-0.3, -0.15, 0.0, 0.15, 0.3),
    },
    "hand": {"skin": tuple(SKINS), "flip": (False, True), "paint": tuple(PAINTS), "spread": (0.85, 1.0, 1.18)},
    "sign": {"paint": tuple(PAINTS), "word": WORDS},
    "car": {"paint": tuple(PAINTS), "flip": (False, True)},
    "bus": {"paint": tuple(PAINTS), "flip": (False, True)},
}
_POSE: dict[str, tuple[str, ...]] = {
    "face": ("x", "y", "s", "rot", "gaze"),
    "hand": ("x", "y", "s", "rot", "spread"),
    "sign": ("x", "y", "s", "rot"),
    "car": ("x", "y", "s", "rot"),
    "bus": ("x", "y", "s", "rot"),
}
_NUDGE = {"x": 0.3, "y": 0.3, "s": 0.3, "rot": 0.03, "spread": 0.05, "gaze": 0.08}


def choose_attributes(patch: Patch, thing: Thing, soft: float) -> Thing:
    """The best value of each attribute in turn, the pose held. A sign's words keep their length."""
    covers = covers_at(patch, thing, soft)
    for name, values in _ATTRIBUTES[thing.kind].items():
        if name in _NUDGE:  # part of the pose too: the value it has may be better than the coarse ones
            if soft > 2:
                continue
            values = (getattr(thing, name), *values)
        allowed = [w for w in values if len(str(w)) == len(thing.word)] if name == "word" else values
        thing = _choose(patch, thing, name, allowed, soft, covers)
    return thing


def within(thing: Thing) -> Thing:
    """The thing with its pose held inside what a valid scene can show."""
    low, high = SIZES[thing.kind]
    tilt = MAX_TILT[thing.kind] * 1.15 + 0.03
    return replace(
        thing,
        x=float(np.clip(thing.x, -6, SIZE + 6)),
        y=float(np.clip(thing.y, -6, SIZE + 6)),
        s=float(np.clip(thing.s, low / _SLACK, high * _SLACK)),
        rot=float(np.clip(thing.rot, -tilt, tilt)),
        spread=float(np.clip(thing.spread, 0.72, 1.35)),
        gaze=float(np.clip(thing.gaze, -0.36, 0.36)),
    )


def settle(patch: Patch, thing: Thing, soft: float, rounds: int) -> Fit:
    """Follow the pose downhill: Gauss-Newton with finite differences, damped, each step taken only if it helps."""
    names = _POSE[thing.kind]
    covers = covers_at(patch, thing, soft)
    picture = draw_patch(patch, thing, soft, covers)
    cost, damping = cost_of(patch, picture), 0.02
    for _ in range(rounds):
        error = picture - patch.image
        miss = np.square(error).mean(-1, keepdims=True)
        weight = _KNEE**4 / np.square(miss + _KNEE**2)
        nudged = [replace(thing, **{n: getattr(thing, n) + _NUDGE[n]}) for n in names]
        moved = [draw_patch(patch, near, soft, covers) for near in nudged]
        slopes = np.stack([(m - picture).reshape(-1) for m in moved])  # in units of one nudge
        weighted = slopes * np.broadcast_to(weight, error.shape).reshape(-1)
        curve, pull = weighted @ slopes.T, weighted @ error.reshape(-1)
        better = False
        for _ in range(3):
            step = np.linalg.solve(curve + np.diag(damping * np.diag(curve) + 1e-3 * curve.trace() + 1.0), -pull)
            step = np.clip(step, -8, 8)
            tried = within(
                replace(
                    thing, **{n: getattr(thing, n) + float(d) * _NUDGE[n] for n, d in zip(names, step, strict=True)}
                )
            )
            fresh = covers_at(patch, tried, soft)
            drawn = draw_patch(patch, tried, soft, fresh)
            value = cost_of(patch, drawn)
            if value < cost - 1e-6:
                better, gain = True, cost - value
                thing, picture, covers = tried, drawn, fresh
                cost, damping = value, max(damping * 0.3, 1e-4)
                break
            damping = max(damping, 0.01) * 6
        if not better or gain < 2e-4:
            break
    return Fit(thing, cost)


def fit_kind(patch: Patch, starts: list[Thing], keep: int = 3) -> Fit:
    """The best thing, of the kind of the starting poses."""
    soft = 3.0
    guesses = []
    for start in starts:
        thing = choose_attributes(patch, within(start), soft)
        guesses.append(Fit(thing, cost_of(patch, draw_patch(patch, thing, soft))))
    guesses.sort(key=lambda f: f.cost)
    finals = []
    for guess in guesses[:keep]:
        rough = settle(patch, guess.thing, soft, rounds=6)
        sharper = choose_attributes(patch, rough.thing, 1.5)
        finals.append(settle(patch, sharper, 1.5, rounds=5))
    best = min(finals, key=lambda f: f.cost)
    for _ in range(3):
        last = settle(patch, choose_attributes(patch, best.thing, 1.0), 1.0, rounds=5)
        if last.cost > best.cost - 1e-3:
            break
        best = last
    return last


def starts_in(kind: str, box: tuple[int, int, int, int], hint: Thing | None = None) -> list[Thing]:
    """Starting poses of a kind for a box (top, left, bottom, right) of unexplained pixels.

    A box that touches the picture's edge may hold only a part of the thing, so its size is taken from the free side.
    """
    top, left, bottom, right = box
    low, high = SIZES[kind]
    words = ("STOP", "BUS") if kind == "sign" else ("",)
    if kind == "sign" and hint is not None:
        words = (hint.word,)
    out: list[Thing] = []
    for word in words:
        base = replace(hint, rot=0.0) if hint is not None else Thing(kind, 0, 0, 1, word=word)
        w, h = half_extent(replace(base, s=1.0, x=0, y=0))
        cut_x, cut_y = left == 0 or right == SIZE, top == 0 or bottom == SIZE
        s_w, s_h = (right - left) / 2 / w, (bottom - top) / 2 / h
        sizes = {math.sqrt(s_w * s_h), min(s_w, s_h)}
        if cut_x and cut_y:
            sizes |= {(low + high) / 2, max(s_w, s_h)}
        elif cut_x or cut_y:
            sizes |= {s_h if cut_x else s_w, max(s_w, s_h)}
        for s in sorted(sizes):
            s = float(np.clip(s, low, high))
            xs = _anchor(left, right, w * s)
            ys = _anchor(top, bottom, h * s)
            for x in xs:
                for y in ys:
                    for rot in (-0.42, -0.14, 0.14, 0.42) if kind == "hand" else (0.0,):
                        out.append(replace(base, x=x, y=y, s=s, rot=rot))
    return out


def around(thing: Thing) -> list[Thing]:
    """Poses spread around one that did not settle well: moved, larger, smaller; a hand also turned.

    All are worth following to their end (`keep`): the best start is often not the one that ends best.
    """
    if thing.kind == "hand":
        out = [replace(thing, rot=r) for r in (-0.35, 0.0, 0.35)]
        return out + [replace(thing, x=thing.x + dx, rot=0.0, s=thing.s * g) for dx in (-3, 3) for g in (0.95, 1.12)]
    moves = [(dx, dy, grow) for dx in (-3, 3) for dy in (-3, 3) for grow in (0.92, 1.12)]
    moves += [(0, 0, 0.9), (0, 0, 1.14)]
    return [replace(thing, x=thing.x + dx, y=thing.y + dy, s=thing.s * grow) for dx, dy, grow in moves]


def _anchor(low: int, high: int, half: float) -> list[float]:
    """Centres along one axis for a thing of half length `half` that fills low..high, perhaps cropped or not alone."""
    span = high - low
    if low == 0 and high < SIZE and span < 1.85 * half:
        return [high - half]  # cropped on the left or above
    if high == SIZE and low > 0 and span < 1.85 * half:
        return [low + half]
    if span > 2.9 * half:
        return [low + half, high - half]
    return [(low + high) / 2]
