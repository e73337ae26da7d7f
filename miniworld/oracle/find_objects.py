"""Which valid things are in a picture: while unexplained regions remain, the best fit to the largest one.

Pictures are float32 HWC, 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.oracle.fit_background import Background
from miniworld.oracle.fit_objects import (
    Fit,
    Patch,
    around,
    bounded_error,
    cost_of,
    cut,
    draw_patch,
    fit_kind,
    starts_in,
)
from miniworld.oracle.residue import EIGHT, beyond
from miniworld.world.raster import Array
from miniworld.world.render import silhouette
from miniworld.world.scenes import KINDS, SIZE, Thing
from shards.masks import label_components

Box = tuple[int, int, int, int]
"""Top, left, bottom, right; ends excluded."""
_ROUGH = 0.035
"""Mean bounded error on a thing above which its fit is tried again from poses around it."""


def find_objects(picture: Array, background: Background, wanted: Iterable[Thing]) -> list[Fit]:
    """The things of the nearest valid scene, each fitted to the largest region that the ones before leave open."""
    hints = list(wanted)
    behind = background.picture.copy()
    open_ = _regions(picture, behind)
    fits: list[Fit] = []
    taken = np.zeros((SIZE, SIZE), dtype=bool)
    for _ in range(6):
        box, size = _largest(open_)
        if size < 24:
            break
        fit = _explain_region(picture, behind, background.light, box, hints)
        # Valid things stand apart: one that hides mostly behind others would only dress up a fault.
        if fit is not None and (silhouette(fit.thing) & ~taken).sum() < 0.6 * silhouette(fit.thing).sum():
            fit = None
        if fit is None:
            open_[box[0] : box[2], box[1] : box[3]] &= ~_component(open_, box)
            continue
        fits.append(fit)
        taken |= silhouette(fit.thing)
        behind = draw_over(behind, background.light, fit.thing)
        open_ &= ~ndimage.binary_dilation(silhouette(fit.thing), iterations=2)
    return fits


def _regions(picture: Array, behind: Array, limit: float = 30.0) -> NDArray[np.bool_]:
    off = beyond(picture, behind, limit) > 0
    # Opening drops lines one pixel wide: the horizon, a texture's ridges.
    kept = ndimage.binary_opening(off, np.ones((2, 2), dtype=bool))
    return np.asarray(ndimage.binary_closing(np.pad(kept, 2), iterations=1)[2:-2, 2:-2] | kept, dtype=bool)


def _largest(open_: NDArray[np.bool_]) -> tuple[Box, int]:
    labels, count = label_components(open_)
    if count == 0:
        return (0, 0, 0, 0), 0
    sizes = np.bincount(labels.ravel())[1:]
    k = int(sizes.argmax())
    rows, cols = ndimage.find_objects(labels)[k]
    return (rows.start, cols.start, rows.stop, cols.stop), int(sizes[k])


def _component(open_: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    labels, _ = label_components(open_)
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
        best = _better(best, fit_kind(patch, [*starts, hint]))
    if best is not None and _roughness(patch, best.thing) > _ROUGH:
        # Many a hand first settles on its mirror image, or a finger aside.
        best = _better(best, fit_kind(patch, around(best.thing), keep=7 if best.thing.kind == "hand" else 3))
    if best is None or not _good(patch, best.thing, 0.8):
        for kind in KINDS:
            if kind not in {h.kind for h in near}:
                best = _better(best, fit_kind(patch, [t for b in boxes for t in starts_in(kind, b)], keep=1))
        assert best is not None
        if _roughness(patch, best.thing) > _ROUGH:
            best = _better(best, fit_kind(patch, around(best.thing)))
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
    labels, _ = label_components(ndimage.binary_opening(faint, EIGHT))
    inside = set(np.unique(labels[box[0] : box[2], box[1] : box[3]])) - {0}
    if not inside:
        return [box]
    rows, cols = np.nonzero(np.isin(labels, list(inside)))
    top, left = min(box[0], int(rows.min())), min(box[1], int(cols.min()))
    wide = (top, left, max(box[2], int(rows.max()) + 1), max(box[3], int(cols.max()) + 1))
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
    return float(bounded_error(draw_patch(patch, thing), patch.image)[shape].mean())


def draw_over(behind: Array, light: Array, thing: Thing) -> Array:
    """The whole picture with one thing drawn on it."""
    return draw_patch(cut(behind, behind, light, slice(0, SIZE), slice(0, SIZE)), thing)
