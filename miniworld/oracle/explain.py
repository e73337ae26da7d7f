"""What no valid scene explains: the world's own truth about artifacts, without any learned part.

1. Fit the background. 2. While unexplained regions remain, fit every kind of thing to the largest one and keep the best
that really covers it. 3. Compare the picture with the drawn nearest scene, tolerant of one pixel of shift and of small
changes of colour; what is left, cleaned of specks, is the mask. 4. Compare the scene's things with the requested ones.

Masks are uint8 HW, 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniworld.oracle.alignment import compare_things
from miniworld.oracle.find_objects import find_objects
from miniworld.oracle.fit_background import Background, fit_background
from miniworld.oracle.fit_objects import Fit
from miniworld.oracle.letters import nearest_word, wrong_letters
from miniworld.oracle.residue import Mask, excess_of, faults_in, near_horizon
from miniworld.oracle.thresholds import Thresholds
from miniworld.world.objects import layers_of
from miniworld.world.raster import Array, cover_of, frame
from miniworld.world.render import silhouette
from miniworld.world.scenes import SIZE, Scene, Thing
from shards.errors import SchemaError


@dataclass(frozen=True)
class Explanation:
    """What the oracle says about one picture."""

    mask: Mask
    """1 where no valid scene explains the picture."""
    scene: Scene
    """The nearest valid scene."""
    misaligned: list[dict[str, Any]] = field(default_factory=list)
    """Requested things that are missing, elsewhere or of another look."""
    found: tuple[bool, ...] = ()
    """For each requested thing, whether one of its kind is in the picture."""
    drawn: Array | None = None
    """The nearest scene as a picture, float32 HWC."""
    excess: Array | None = None
    """How far each pixel is beyond the tolerance, 0..255 units."""
    letters: Mask | None = None
    """1 on wrong letters; they are in the mask whatever the excess."""


def explain(image: NDArray[np.uint8], start: Scene | None = None, thresholds: Thresholds | None = None) -> Explanation:
    """Find the nearest valid scene of a 64 x 64 uint8 RGB picture and the mask of what it leaves unexplained.

    `start` is the intended scene: its kinds and colours are tried first; the answer may differ from it in everything.
    Raises SchemaError (a ValueError) for a picture of another size or type.
    """
    if image.shape != (SIZE, SIZE, 3) or image.dtype != np.uint8:
        raise SchemaError(
            f"the oracle reads uint8 pictures of {SIZE} x {SIZE} x 3; this one is {image.dtype} {image.shape}"
        )
    limits = thresholds or Thresholds()
    picture = image.astype(np.float32)
    background = fit_background(picture, start.ground if start is not None else None)
    fits = find_objects(picture, background, start.things if start is not None else ())
    fits = [_read(picture, f) for f in fits]
    drawn = _draw_all(picture, background, fits)
    covered = np.any([silhouette(f.thing) for f in fits], axis=0) if fits else np.zeros((SIZE, SIZE), dtype=bool)
    excess = excess_of(picture, drawn, covered, near_horizon(background), limits)
    letters = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for fit in fits:
        if fit.thing.kind == "sign":
            letters |= wrong_letters(picture, fit.thing, limits.letter, limits.rival)
    mask = faults_in(excess, limits) | letters
    things = tuple(f.thing for f in fits)
    scene = Scene(seed=start.seed if start is not None else 0, ground=background.ground, things=things)
    found, misaligned = compare_things(start.things if start is not None else (), things)
    return Explanation(mask, scene, misaligned, found, drawn, excess, letters)


def _read(picture: Array, fit: Fit) -> Fit:
    """A sign with the word that most of its letters spell."""
    if fit.thing.kind != "sign":
        return fit
    return replace(fit, thing=replace(fit.thing, word=nearest_word(picture, fit.thing)))


def _draw_all(picture: Array, background: Background, fits: list[Fit]) -> Array:
    """The nearest scene as a picture; parts may shift their colours a little, as the autoencoder does to small ones."""
    drawn = background.picture.copy()
    for fit in fits:
        drawn = _draw_adapted(picture, drawn, background.light, fit.thing)
    return np.clip(drawn, 0, 255)


def _draw_adapted(picture: Array, behind: Array, light: Array, thing: Thing, limit: float = 26.0) -> Array:
    """One thing drawn over `behind`, each part in its own colour moved by up to `limit` towards the picture's."""
    everything = slice(0, SIZE)
    u, v = frame(thing, everything, everything)
    out = behind.copy()
    layers = layers_of(thing)
    covers = [cover_of(layer.distance, u, v, thing.s) for layer in layers]
    front = np.full((SIZE, SIZE), -1)
    for k, cover in enumerate(covers):
        front[cover > 0.02] = -1
        front[cover > 0.98] = k
    colours = [np.asarray(layer.colour, dtype=np.float32) for layer in layers]
    groups: dict[tuple[str, tuple[float, float, float]], list[int]] = {}
    for k, layer in enumerate(layers):
        groups.setdefault((layer.part, layer.colour), []).append(k)
    for members in groups.values():
        shown = np.isin(front, members)
        off = picture[shown] - light[shown] * colours[members[0]]
        off = off[np.abs(off).max(axis=1) < 2 * limit]  # what is broken, such as a missing wheel, has no say
        if len(off) >= 4:
            shift = np.median(off, axis=0)
            for k in members:
                colours[k] = colours[k] + np.clip(shift, -limit, limit)
    for colour, cover in zip(colours, covers, strict=True):
        out += cover[..., None] * (light * colour - out)
    return out
