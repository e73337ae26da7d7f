"""What a scene of the embedded world is, and how a seed becomes one.

Lengths are pixels of a SIZE x SIZE picture, x to the right, y downwards, (0, 0) the outer corner of the first
pixel; angles are radians, clockwise on the screen. A scene is plain data: drawing lives in `render`.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from miniworld.world.colours import GROUNDS, HAIRS, PAINTS, SKIES, SKINS, TEXTURES
from miniworld.world.glyphs import WORDS
from shards.errors import ConfigError, SchemaError

SIZE = 64
WORLD_VERSION = 2
MAX_SEED = 2**40
KINDS = ("face", "hand", "sign", "car", "bus")
_KIND = re.compile(rf"\b({'|'.join(KINDS)})\b")

# Size s of each kind (see `objects` for what it measures), smallest and largest.
SIZES: dict[str, tuple[float, float]] = {
    "face": (13.0, 22.0),
    "hand": (15.0, 23.0),
    "sign": (5.6, 8.6),
    "car": (14.0, 24.0),
    "bus": (14.0, 23.0),
}
MAX_TILT = {"face": 0.26, "hand": 0.5, "sign": 0.12, "car": 0.12, "bus": 0.10}


@dataclass(frozen=True)
class Thing:
    """One object. Fields that a kind does not use keep their defaults."""

    kind: str
    x: float
    y: float
    s: float
    rot: float = 0.0
    flip: bool = False
    """Hand: thumb on the right; vehicle: facing left."""
    skin: str = "tan"
    hair: str = "black"
    style: str = "short"
    """Face: short | long | bun."""
    mouth: str = "smiling"
    """Face: smiling | calm | shouting."""
    gaze: float = 0.0
    """Face: pupils' offset to the right, in eye widths, -0.3..0.3."""
    spread: float = 1.0
    """Hand: how far the fingers fan out, 0.8..1.25."""
    paint: str = "red"
    """Sign plate, vehicle body, hand's sleeve."""
    word: str = ""


@dataclass(frozen=True)
class Ground:
    """Everything behind the things: two colour gradients that meet at a horizon, textures, light."""

    sky: str
    ground: str
    horizon: float
    tilt: float = 0.0
    """Slope of the horizon, pixels of fall per pixel to the right."""
    sky_texture: str = "plain"
    ground_texture: str = "plain"
    texture_amp: float = 0.0
    """Half of the texture's swing, 0..255 units."""
    texture_scale: float = 6.0
    """Period in pixels."""
    texture_angle: float = 0.0
    texture_seed: int = 0
    gain: float = 1.0
    """Brightness of the whole picture."""
    light_x: float = 0.0
    """Relative brightening from the left edge to the right edge."""
    light_y: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A picture's full specification."""

    seed: int
    ground: Ground
    things: tuple[Thing, ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `scene_from_dict` is the inverse."""
        return asdict(self) | {"world_version": WORLD_VERSION, "things": [asdict(t) for t in self.things]}


def scene_from_dict(data: dict[str, Any]) -> Scene:
    """The scene that `Scene.to_dict` wrote. Raises SchemaError (a ValueError) on another world version."""
    version = data.get("world_version")
    if version != WORLD_VERSION:
        raise SchemaError(
            f"scene of world version {version!r}; this code reads version {WORLD_VERSION}: render it anew"
        )
    things = tuple(Thing(**t) for t in data["things"])
    return Scene(seed=int(data["seed"]), ground=Ground(**data["ground"]), things=things)


def half_extent(thing: Thing) -> tuple[float, float]:
    """Half width and half height, in pixels, of the upright box that a thing fills (rotation included)."""
    w, h = {
        "face": (0.98, 1.16),
        "hand": (0.92, 1.12),
        "sign": (0.75 * len(thing.word) + 0.55, 1.62),
        "car": (1.05, 0.62),
        "bus": (1.05, 0.74),
    }[thing.kind]
    c, n = abs(math.cos(thing.rot)), abs(math.sin(thing.rot))
    return thing.s * (w * c + h * n), thing.s * (w * n + h * c)


def check_seed(seed: int) -> int:
    """`seed` itself when it is one a scene can have. Raises ConfigError (a ValueError) otherwise."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < MAX_SEED:
        raise ConfigError(f"scene seed {seed!r} is out of range: give a whole number from 0 to {MAX_SEED - 1}")
    return int(seed)


def sample_scene(seed: int) -> Scene:
    """The scene of a seed: one to three things that do not overlap, some cropped by the picture's edge.

    The same seed gives the same scene on every machine. Raises ConfigError (a ValueError) for a seed
    outside 0..2**40 - 1.
    """
    rng = np.random.Generator(np.random.PCG64([WORLD_VERSION, check_seed(seed)]))
    wanted = int(rng.choice([1, 2, 3], p=[0.55, 0.33, 0.12]))
    things: list[Thing] = []
    for _ in range(wanted):
        placed = _place(rng, things, crowd=wanted)
        if placed is not None:
            things.append(placed)
    return Scene(seed=int(seed), ground=_sample_ground(rng), things=tuple(things))


def _sample_ground(rng: np.random.Generator) -> Ground:
    texture_amp = float(rng.uniform(4.0, 10.0))
    return Ground(
        sky=_pick(rng, SKIES),
        ground=_pick(rng, GROUNDS),
        horizon=float(rng.uniform(0.42, 0.78) * SIZE),
        tilt=float(rng.uniform(-0.09, 0.09)),
        sky_texture=str(rng.choice(TEXTURES, p=[0.5, 0.14, 0.08, 0.14, 0.14])),
        ground_texture=str(rng.choice(TEXTURES, p=[0.2, 0.25, 0.2, 0.15, 0.2])),
        texture_amp=texture_amp,
        texture_scale=float(rng.uniform(5.0, 11.0)),
        texture_angle=float(rng.uniform(0.0, math.pi)),
        texture_seed=int(rng.integers(0, 2**31)),
        gain=float(rng.uniform(0.84, 1.06)),
        light_x=float(rng.uniform(-0.16, 0.16)),
        light_y=float(rng.uniform(-0.12, 0.12)),
    )


def _pick(rng: np.random.Generator, names: Any) -> str:
    names = list(names)
    return str(names[int(rng.integers(len(names)))])


def _sample_thing(rng: np.random.Generator, crowd: int) -> Thing:
    kind = str(rng.choice(KINDS, p=[0.28, 0.24, 0.24, 0.14, 0.10]))
    low, high = SIZES[kind]
    # A crowded picture draws its sizes from the lower part of the range, so that the things fit.
    high = low + (high - low) * {1: 1.0, 2: 0.5, 3: 0.1}[crowd]
    word, skin, hair = _pick(rng, WORDS), _pick(rng, SKINS), _pick(rng, HAIRS)
    flip = bool(rng.integers(2))
    return Thing(
        kind=kind,
        x=float(rng.uniform(0, SIZE)),
        y=float(rng.uniform(0, SIZE)),
        s=float(rng.uniform(low, high)),
        rot=float(rng.uniform(-1, 1) * MAX_TILT[kind]),
        flip=flip and kind in ("hand", "car", "bus"),
        skin=skin,
        hair="black" if (skin, hair) == ("dark", "brown") else hair,  # these two colours are one
        style=_pick(rng, ("short", "long", "bun")),
        mouth=_pick(rng, ("smiling", "calm", "shouting")),
        gaze=float(rng.uniform(-0.3, 0.3)),
        spread=float(rng.uniform(0.8, 1.25)),
        paint=_pick(rng, PAINTS),
        word=word if kind == "sign" else "",
    )


def _place(rng: np.random.Generator, placed: list[Thing], crowd: int) -> Thing | None:
    for _ in range(80):
        thing = _sample_thing(rng, crowd)
        w, h = half_extent(thing)
        cropped = rng.random() < 0.22
        # The share of its half extent by which a thing may stick out; lettering stays readable.
        out = (0.1 if thing.kind == "sign" else 0.55) if cropped else -0.04
        if 2 * (w * (1 - out)) > SIZE or 2 * (h * (1 - out)) > SIZE:
            continue
        x = float(rng.uniform(w * (1 - out), SIZE - w * (1 - out)))
        y = float(rng.uniform(h * (1 - out), SIZE - h * (1 - out)))
        moved = Thing(**{**asdict(thing), "x": x, "y": y})
        if all(_apart(moved, other) for other in placed):
            return moved
    return None


def _apart(a: Thing, b: Thing, gap: float = 2.5) -> bool:
    (aw, ah), (bw, bh) = half_extent(a), half_extent(b)
    return abs(a.x - b.x) > aw + bw + gap or abs(a.y - b.y) > ah + bh + gap


def position_words(thing: Thing) -> str:
    """Where a thing's centre lies, in words: `top left` ... `bottom right`, `middle` for the centre cell."""
    column = ("left", "", "right")[min(2, max(0, int(thing.x / SIZE * 3)))]
    row = ("top", "middle", "bottom")[min(2, max(0, int(thing.y / SIZE * 3)))]
    return f"{row} {column}".strip()


def _describe(thing: Thing) -> str:
    where = position_words(thing)
    if thing.kind == "face":
        return f"{thing.mouth} face with {thing.skin} skin and {thing.style} {thing.hair} hair at {where}"
    if thing.kind == "hand":
        return f"hand with {thing.skin} skin and {thing.paint} sleeve at {where}"
    if thing.kind == "sign":
        return f"{thing.paint} sign with {thing.word} at {where}"
    return f"{thing.paint} {thing.kind} at {where}"


def caption(scene: Scene) -> str:
    """One sentence that names every thing, from left to right, and the ground they stand on."""
    parts = [_describe(t) for t in sorted(scene.things, key=lambda t: t.x)]
    return ", ".join([*parts, f"{scene.ground.sky} sky, {scene.ground.ground} ground"])


def content_of(words: str) -> str:
    """The kinds of things that a caption names, sorted, each as often as it does: "face sign sign"."""
    return " ".join(sorted(_KIND.findall(words)))
