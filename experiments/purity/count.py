"""Counting for `experiments.purity`: which masked components hold a fault, and what a threshold on their change tells.

Nothing here needs torch: the oracle's worker processes import this file and little else. Masks are uint8 HW, 0 or 1;
a component is an 8-connected one of the mask that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from detector.score.bootstrap import interval_of
from detector.score.metrics import image_auroc
from miniworld.evaluate.counting import MATCH, components, share
from miniworld.oracle.explain import explain
from miniworld.world.scenes import Scene

Mask = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
ROUNDS = 500
"""Bootstrap rounds."""


@dataclass(frozen=True)
class Component:
    """A masked component of one corrupted picture."""

    num_pixels: int
    fault: bool
    """A fault lies in it, see `faults_in`."""
    fault_pixels: int
    """Pixels of it that the oracle calls faulty."""
    scores: Mapping[str, float]
    """What verification measures, by name of the metric."""


@dataclass(frozen=True)
class Row:
    """One picture under one setting."""

    image: int
    setting: str
    fault_pixels: int
    """Pixels of the whole picture that the oracle calls faulty."""
    fault_pixels_far: int
    """Those of them further than one latent cell from every masked pixel."""
    change_inside: float
    change_outside: float
    """Mean change against the round trip, 0..255; outside is beyond the ring of one cell."""
    components: tuple[Component, ...]
    labels: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """By rule of verification, see `experiments.purity.labels.count_labels`."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """The inverse of `dataclasses.asdict`."""
        parts = tuple(Component(**one) for one in values["components"])
        return cls(**{**values, "components": parts})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def judge(job: tuple[NDArray[np.uint8], Scene]) -> Mask:
    """The oracle's mask of a picture that should show a scene."""
    return explain(job[0], start=job[1]).mask


def faults_in(mask: Mask, fault: Mask) -> list[tuple[int, int, bool]]:
    """Of each component of `mask`: its pixels, the faulty ones of them, and whether a fault lies in it.

    It does where a component of the oracle's mask shares a quarter of the smaller one of the two with it.
    """
    found = components(fault)
    sizes = [int(one.sum()) for one in found]
    result = []
    for member in components(mask == 1):
        size = int(member.sum())
        shared = [int((member & one).sum()) for one in found]
        hit = any(s > 0 and s >= MATCH * min(size, other) for s, other in zip(shared, sizes, strict=True))
        result.append((size, sum(shared), hit))
    return result


def far_from(mask: Mask, fault: Mask, distance: int) -> int:
    """Faulty pixels further than `distance` (diagonals counted as one) from every masked pixel."""
    near = ndimage.maximum_filter(mask == 1, size=2 * distance + 1, mode="constant")
    return int(((fault > 0) & ~near).sum())


# --- thresholds -----------------------------------------------------------------------------------------------------


def auroc(scores: Numbers, labels: Flags) -> float:
    """Chance that a component with a fault scores above one without, ties counted half; nan without both kinds."""
    return float(image_auroc(np.ones((1, len(scores))), scores, labels)[0])


def best_threshold(scores: Numbers, labels: Flags) -> tuple[float, float]:
    """(threshold, balanced accuracy) of the best rule "score >= threshold means a fault"; nan without both kinds.

    Thresholds lie half-way between neighbouring scores; of equally good ones the middle one is taken.
    """
    if labels.all() or not labels.any():
        return float("nan"), float("nan")
    values, place = np.unique(scores, return_inverse=True)
    true = np.bincount(place, weights=labels, minlength=len(values))
    false = np.bincount(place, weights=~labels, minlength=len(values))
    # Entry k: everything from the k-th value on passes; entry 0 passes all.
    hit = 1 - (np.cumsum(true) - true) / true.sum()
    rejected = (np.cumsum(false) - false) / false.sum()
    balanced = (hit + rejected) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    k = int(best[(len(best) - 1) // 2])
    threshold = values[k] if k == 0 else (values[k - 1] + values[k]) / 2
    return float(threshold), float(balanced[k])


def confusion(scores: Numbers, labels: Flags, threshold: float) -> dict[str, Any]:
    """Counts of the rule at a threshold, then precision and recall with intervals, and balanced accuracy."""
    passed = scores >= threshold
    true, false = int((passed & labels).sum()), int((passed & ~labels).sum())
    missed, rejected = int((~passed & labels).sum()), int((~passed & ~labels).sum())
    balanced = (true / max(1, true + missed) + rejected / max(1, rejected + false)) / 2
    return {
        "precision": share(true, true + false),
        "recall": share(true, true + missed),
        "specificity": share(rejected, rejected + false),
        "balanced_accuracy": balanced,
    }


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float], images: NDArray[np.int64], rounds: int = ROUNDS
) -> tuple[float, float]:
    """95% interval of a statistic of row numbers, drawing whole images with replacement. nan where none is defined."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(images == one) for one in np.unique(images)]
    values = np.array(
        [
            statistic(np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))]))
            for _ in range(rounds if groups else 0)
        ]
    )
    found = interval_of(0.0, values)
    return (math.nan, math.nan) if found.low is None or found.high is None else (found.low, found.high)


def columns(rows: Iterable[Row], metric: str) -> tuple[Numbers, Flags, NDArray[np.int64]]:
    """Score, fault and image of every component of the rows."""
    found = [(one.scores[metric], one.fault, row.image) for row in rows for one in row.components]
    scores, labels, images = zip(*found, strict=True) if found else ((), (), ())
    return np.array(scores, float), np.array(labels, bool), np.array(images, np.int64)


def calibrate(rows: Sequence[Row], metric: str, rounds: int = ROUNDS) -> dict[str, Any]:
    """How well a metric separates components with a fault from the others, and the threshold that does it best."""
    scores, labels, images = columns(rows, metric)
    threshold, _ = best_threshold(scores, labels)
    return {
        "metric": metric,
        "components": len(labels),
        "with_fault": int(labels.sum()),
        "auroc": auroc(scores, labels),
        "auroc_interval": bootstrap(lambda k: auroc(scores[k], labels[k]), images, rounds),
        "threshold": threshold,
        "threshold_interval": bootstrap(lambda k: best_threshold(scores[k], labels[k])[0], images, rounds),
        **confusion(scores, labels, threshold),
    }


# --- purity ---------------------------------------------------------------------------------------------------------


def halves(rows: Sequence[Row], metric: str) -> dict[int, float]:
    """For even (0) and odd (1) images the threshold chosen on the others, so that no picture judges itself."""
    return {
        half: best_threshold(*columns([row for row in rows if row.image % 2 != half], metric)[:2])[0] for half in (0, 1)
    }


def purity(rows: Sequence[Row], passes: Callable[[Row, Component], bool], rounds: int = ROUNDS) -> dict[str, Any]:
    """Label purity of the rows of one setting when the components that do not pass are dropped from the masks.

    A picture without a component left becomes no sample, so its faults do not count as leaked.
    """
    kept = [(row, [one for one in row.components if passes(row, one)]) for row in rows]
    left = [(row, parts) for row, parts in kept if parts]
    parts = [one for _, ones in left for one in ones]
    num_all = sum(len(row.components) for row in rows)
    return {
        "components": len(parts),
        "with_fault": share(sum(one.fault for one in parts), len(parts)),
        "dropped": share(num_all - len(parts), num_all),
        "pictures_left": share(len(left), len(rows)),
        "leak": ratio(
            [row.fault_pixels - sum(one.fault_pixels for one in ones) for row, ones in left],
            [row.fault_pixels for row, _ in left],
            rounds,
        ),
        "mask_pixels_faulty": ratio(
            [sum(one.fault_pixels for one in ones) for _, ones in left],
            [sum(one.num_pixels for one in ones) for _, ones in left],
            rounds,
        ),
    }


def picture_figures(rows: Sequence[Row], rounds: int = ROUNDS) -> dict[str, Any]:
    """What does not depend on a threshold: pictures with a fault, faults far from the mask, change."""
    return {
        "pictures": len(rows),
        "pictures_with_fault": share(sum(row.fault_pixels > 0 for row in rows), len(rows)),
        "leak_far": ratio([row.fault_pixels_far for row in rows], [row.fault_pixels for row in rows], rounds),
        "change_inside": float(np.mean([row.change_inside for row in rows])),
        "change_outside": float(np.mean([row.change_outside for row in rows])),
    }


def ratio(above: Sequence[int], below: Sequence[int], rounds: int) -> dict[str, Any]:
    """Sum over sum with a bootstrap interval over its entries, which are pictures; nan over nothing."""
    top, bottom = np.array(above, float), np.array(below, float)

    def of(k: NDArray[np.intp]) -> float:
        return float(top[k].sum() / bottom[k].sum()) if bottom[k].sum() else float("nan")

    everything = np.arange(len(top))
    low, high = bootstrap(of, everything, rounds)
    return {"hits": int(top.sum()), "of": int(bottom.sum()), "share": of(everything), "low": low, "high": high}
