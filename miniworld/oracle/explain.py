"""What no valid scene explains: the world's own truth about artifacts, without any learned part.

1. Fit the background. 2. While unexplained regions remain, fit every kind of thing to the largest one and keep the best
that really covers it. 3. Compare the picture with the drawn nearest scene, tolerant of one pixel of shift and of small
changes of colour; what is left, cleaned of specks, is the mask. 4. Compare the scene's things with the requested ones.

Masks are uint8 HW, 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.oracle.alignment import compare_things
from miniworld.oracle.fit_background import Backdrop, fit_backdrop
from miniworld.oracle.fit_objects import Fit, Patch, around, cost_of, cut, draw_patch, fit_kind, starts_in
from miniworld.oracle.letters import nearest_word, wrong_letters
from miniworld.oracle.residue import EIGHT, Mask, Thresholds, beyond, excess_of, faults_in, near_horizon
from miniworld.world.objects import layers_of
from miniworld.world.raster import Array, cover_of, frame
from miniworld.world.scenes import KINDS, SIZE, Scene, Thing, half_extent

Box = tuple[int, int, int, int]
_ROUGH = 0.035
"mean bounded error on a thing above which its fit is tried again from poses around it"


@dataclass(frozen=True)
class Explanation:
    """What the oracle says about one picture."""

    mask: Mask
    "1 where no valid scene explains the picture"
    scene: Scene
    "the nearest valid scene"
    misaligned: list[dict[str, Any]] = field(default_factory=list)
    "requested things that are missing, elsewhere or of another look"
    found: tuple[bool, ...] = ()
    "for each requested thing, whether one of its kind is in the picture"
    drawn: Array | None = None
    "the nearest scene as a picture, float32 HWC"
    excess: Array | None = None
    "how far each pixel is beyond the tolerance, 0..255 units"
    letters: Mask | None = None
    "1 on wrong letters; they are in the mask whatever the excess"


def explain(image: NDArray[np.uint8], start: Scene | None = None, thresholds: Thresholds | None = None) -> Explanation:
    """Find the nearest valid scene of a 64 x 64 uint8 RGB picture and the mask of what it leaves unexplained.

    `start` is the intended scene: its kinds and colours are tried first; the answer may differ from it in everything.
    Raises ValueError for a picture of another size or type.
    """
    if image.shape != (SIZE, SIZE, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"the oracle reads uint8 pictures of {SIZE} x {SIZE} x 3; this one is {image.dtype} {image.shape}"
        )
    limits = thresholds or Thresholds()
    picture = image.astype(np.float32)
    backdrop = fit_backdrop(picture, start.ground if start is not None else None)
    fits = _find_things(picture, backdrop, start.things if start is not None else ())
    fits = [_read(picture, f) for f in fits]
    drawn = _draw_all(picture, backdrop, fits)
    covered = np.any([silhouette(f.thing) for f in fits], axis=0) if fits else np.zeros((SIZE, SIZE), dtype=bool)
    excess = excess_of(picture, drawn, covered, near_horizon(backdrop), limits)
    letters = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for fit in fits:
        if fit.thing.kind == "sign":
            letters |= wrong_letters(picture, fit.thing, limits.letter, limits.rival)
    mask = faults_in(excess, limits) | letters
    things = tuple(f.thing for f in fits)
    scene = Scene(seed=start.seed if start is not None else 0, ground=backdrop.ground, things=things)
    found, misaligned = compare_things(start.things if start is not None else (), things)
    return Explanation(mask, scene, misaligned, found, drawn, excess, letters)


# --- finding things -------------------------------------------------------------------------------------------------


def _find_things(picture: Array, backdrop: Backdrop, wanted: Iterable[Thing]) -> list[Fit]:
    hints = list(wanted)
    behind = backdrop.picture.copy()
    open_ = _regions(picture, behind)
    fits: list[Fit] = []
    taken = np.zeros((SIZE, SIZE), dtype=bool)
    for _ in range(6):
        box, size = _largest(open_)
        if size < 24:
            break
        fit = _explain_region(picture, behind, backdrop.light, box, hints)
        # Valid things stand apart: one that hides mostly behind others would only dress up a fault.
        if fit is not None and (silhouette(fit.thing) & ~taken).sum() < 0.6 * silhouette(fit.thing).sum():
            fit = None
        if fit is None:
            open_[box[0] : box[2], box[1] : box[3]] &= ~_component(open_, box)
            continue
        fits.append(fit)
        taken |= silhouette(fit.thing)
        behind = draw_over(behind, backdrop.light, fit.thing)
        open_ &= ~ndimage.binary_dilation(silhouette(fit.thing), iterations=2)
    return fits


def _regions(picture: Array, behind: Array, limit: float = 30.0) -> NDArray[np.bool_]:
    off = beyond(picture, behind, limit) > 0
    # Opening drops lines one pixel wide: the horizon, a texture's ridges.
    kept = ndimage.binary_opening(off, np.ones((2, 2), dtype=bool))
    return np.asarray(ndimage.binary_closing(np.pad(kept, 2), iterations=1)[2:-2, 2:-2] | kept, dtype=bool)


def _largest(open_: NDArray[np.bool_]) -> tuple[Box, int]:
    labels, count = ndimage.label(open_, EIGHT)
    if count == 0:
        return (0, 0, 0, 0), 0
    sizes = np.bincount(labels.ravel())[1:]
    k = int(sizes.argmax())
    rows, cols = ndimage.find_objects(labels)[k]
    return (rows.start, cols.start, rows.stop, cols.stop), int(sizes[k])


def _component(open_: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(open_, EIGHT)
    inside = labels[box[0] : box[2], box[1] : box[3]]
    counts = np.bincount(inside.ravel())
    counts[0] = 0
    return np.asarray(inside == counts.argmax())


def _explain_region(picture: Array, behind: Array, light: Array, box: Box, hints: list[Thing]) -> Fit | None:
    """The best thing for a region; None when nothing valid covers most of its own outline with matching pixels."""
    boxes = _boxes(picture, behind, box)
    rows, cols = _window(boxes)
    patch = cut(picture, behind, light, rows, cols)
    near = [h for h in hints if _near(h, box)]
    best: Fit | None = None
    for hint in near:
        starts = [t for b in boxes for t in starts_in(hint.kind, b, hint)]
        best = _better(best, fit_kind(patch, hint.kind, [*starts, hint]))
    if best is not None and _roughness(patch, best.thing) > _ROUGH:
        # Many a hand first settles on its mirror image, or a finger aside.
        best = _better(
            best, fit_kind(patch, best.thing.kind, around(best.thing), keep=7 if best.thing.kind == "hand" else 3)
        )
    if best is None or not _good(patch, best.thing, 0.8):
        for kind in KINDS:
            if kind not in {h.kind for h in near}:
                best = _better(best, fit_kind(patch, kind, [t for b in boxes for t in starts_in(kind, b)], keep=1))
        assert best is not None
        if _roughness(patch, best.thing) > _ROUGH:
            best = _better(best, fit_kind(patch, best.thing.kind, around(best.thing)))
    if (
        best is None
        or best.cost > 0.93 * cost_of(patch, behind[rows, cols])
        or not _good(patch, best.thing, _least(best.thing))
    ):
        return None
    return best


def _boxes(picture: Array, behind: Array, box: Box) -> list[Box]:
    """The region's box, and the larger one that a fainter difference from the background outlines, if it does.

    Where a thing's colour is close to the background's, only fragments of it differ plainly.
    """
    faint = ndimage.binary_closing(np.pad(beyond(picture, behind, 13.0) > 0, 3), EIGHT, iterations=2)[3:-3, 3:-3]
    labels, _ = ndimage.label(ndimage.binary_opening(faint, EIGHT), EIGHT)
    inside = set(np.unique(labels[box[0] : box[2], box[1] : box[3]])) - {0}
    if not inside:
        return [box]
    rows, cols = np.nonzero(np.isin(labels, list(inside)))
    wide = (
        min(box[0], int(rows.min())), min(box[1], int(cols.min())),
        max(box[2], int(rows.max()) + 1), max(box[3], int(cols.max()) + 1),
    )  # fmt: skip
    grown = (wide[2] - wide[0]) * (wide[3] - wide[1]) / max(1, (box[2] - box[0]) * (box[3] - box[1]))
    return [box, wide] if grown > 1.25 else [box]


def _window(boxes: list[Box], margin: int = 6) -> tuple[slice, slice]:
    rows = slice(max(0, min(b[0] for b in boxes) - margin), min(SIZE, max(b[2] for b in boxes) + margin))
    cols = slice(max(0, min(b[1] for b in boxes) - margin), min(SIZE, max(b[3] for b in boxes) + margin))
    return rows, cols


def _near(hint: Thing, box: Box) -> bool:
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return math.hypot(hint.x - x, hint.y - y) < 26


def _better(a: Fit | None, b: Fit) -> Fit:
    return b if a is None or b.cost < a.cost else a


def _least(thing: Thing) -> float:
    """The share of a thing that must look as drawn for it to be there at all: letters may all be wrong on a sign."""
    return 0.35 if thing.kind == "sign" else 0.5


def _good(patch: Patch, thing: Thing, share: float) -> bool:
    """Whether at least `share` of the thing's own visible pixels look as drawn."""
    shape = silhouette(thing)[patch.rows, patch.cols]
    if shape.sum() < 30:
        return False
    miss = np.abs(draw_patch(patch, thing) - patch.image).max(-1)
    return float((miss[shape] < 48).mean()) >= share


def _roughness(patch: Patch, thing: Thing) -> float:
    """Mean bounded error on a thing and two pixels around it, 0..1."""
    shape = ndimage.binary_dilation(silhouette(thing), EIGHT, iterations=2)[patch.rows, patch.cols]
    if not shape.any():
        return 1.0
    miss = np.square(draw_patch(patch, thing) - patch.image).mean(-1)[shape]
    return float((miss / (miss + 45.0**2)).mean())


def silhouette(thing: Thing) -> NDArray[np.bool_]:
    """HW bool: the pixels that a thing covers at least half."""
    w, h = half_extent(thing)
    rows = slice(max(0, math.floor(thing.y - h - 1)), min(SIZE, math.ceil(thing.y + h + 1)))
    cols = slice(max(0, math.floor(thing.x - w - 1)), min(SIZE, math.ceil(thing.x + w + 1)))
    out = np.zeros((SIZE, SIZE), dtype=bool)
    if rows.stop > rows.start and cols.stop > cols.start:
        u, v = frame(thing, rows, cols)
        near = np.min([layer.distance(u, v) for layer in layers_of(thing)], axis=0)
        out[rows, cols] = near <= 0
    return out


def draw_over(behind: Array, light: Array, thing: Thing) -> Array:
    """The whole picture with one thing drawn on it."""
    return draw_patch(cut(behind, behind, light, slice(0, SIZE), slice(0, SIZE)), thing)


# --- comparing ------------------------------------------------------------------------------------------------------


def _read(picture: Array, fit: Fit) -> Fit:
    """A sign with the word that most of its letters spell."""
    if fit.thing.kind != "sign":
        return fit
    return replace(fit, thing=replace(fit.thing, word=nearest_word(picture, fit.thing)))


def _draw_all(picture: Array, backdrop: Backdrop, fits: list[Fit]) -> Array:
    """The nearest scene as a picture; parts may shift their colours a little, as the autoencoder does to small ones."""
    drawn = backdrop.picture.copy()
    for fit in fits:
        drawn = _draw_adapted(picture, drawn, backdrop.light, fit.thing)
    return np.clip(drawn, 0, 255)


def _draw_adapted(picture: Array, behind: Array, light: Array, thing: Thing, limit: float = 26.0) -> Array:
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
