"""Second opinions for `experiments.purity`: does a detector's rise tell faults among what changed?

A component passes where it changed enough and the score rises enough from round trip to picture, on average over its
pixels. Purity is the share of passing components that hold a fault, recall the share of all faulty ones that pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.purity.count import Flags, Mask, Numbers, Row
from miniworld.evaluate.counting import components, share
from shards.errors import ConfigError

LEAST_RECALL = 0.6
"""Of the truly faulty components that must be kept; of all rises that keep them, the one of the highest purity."""
Look = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]


def open_opinions(told: Sequence[str]) -> dict[str, Look]:
    """SCORE=WHERE -> detectors by name; an empty SCORE is a trained detector, SCORE:PIXELS drops outlines.

    Raises ConfigError and others.
    """
    from region_select.opinion import open_detector

    found: dict[str, Look] = {}
    for text in told:
        score, separator, where = text.partition("=")
        if not separator or not where:
            raise ConfigError(
                f"--opinion {text!r} is not of the form SCORE=WHERE, such as msr=detector/weights/segmenter"
            )
        name, colon, boundary = score.partition(":")
        if colon and not (name and boundary.isdecimal() and len(boundary) < 4):
            raise ConfigError(f"--opinion {text!r}: PIXELS of SCORE:PIXELS is a whole number, such as msr:2")
        found[f"rise of {score or 'heat'} in {where}"] = open_detector(where, name, boundary=int(boundary or 0))
    return found


def rises(
    pictures: NDArray[np.uint8], round_trips: NDArray[np.uint8], masks: Iterable[Mask], look: Look
) -> list[list[float]]:
    """Of each picture, the mean rise over each component of its mask."""
    before, after = look(list(round_trips)), look(list(pictures))
    return [
        [float((new - old)[member].mean(dtype=np.float64)) for member in components(mask == 1)]
        for old, new, mask in zip(before, after, masks, strict=True)
    ]


def opinion_figures(rows: Sequence[Row], metric: str, threshold: float, name: str) -> dict[str, Any]:
    """Purity and recall of change alone, and with a rise that was chosen on the other half of the pictures."""
    found = [(row.image, one) for row in rows for one in row.components]
    images = np.array([image for image, _ in found], np.int64)
    faulty = np.array([one.fault for _, one in found], bool)
    changed = np.array([one.scores[metric] >= threshold for _, one in found], bool)
    rise = np.array([one.scores[name] for _, one in found], float)
    passed = np.zeros(len(found), bool)
    chosen: dict[str, float] = {}
    for half in (0, 1):
        own = images % 2 == half
        least = best_rise(rise[~own], faulty[~own], changed[~own])
        chosen["even" if half == 0 else "odd"] = least
        passed[own] = changed[own] & (rise[own] >= least)
    return {
        "opinion": name,
        "rise": chosen,
        "rise_of_all": best_rise(rise, faulty, changed),
        "change_alone": rule(changed, faulty),
        "with_opinion": rule(passed, faulty),
    }


def rule(passed: Flags, faulty: Flags) -> Mapping[str, Any]:
    """Purity and recall of a rule, each with its interval."""
    hits = int((passed & faulty).sum())
    return {"purity": share(hits, int(passed.sum())), "recall": share(hits, int(faulty.sum()))}


def best_rise(rise: Numbers, faulty: Flags, changed: Flags) -> float:
    """The least rise of the highest purity among those that keep LEAST_RECALL of the faulty; nan without any.

    Where change alone keeps fewer, the one that keeps all that it keeps.
    """
    if not (changed & faulty).any():
        return math.nan
    best, purity = -math.inf, -1.0
    for least in np.unique(rise[changed]):
        kept = changed & (rise >= least)
        hits = int((kept & faulty).sum())
        if best > -math.inf and hits < LEAST_RECALL * faulty.sum():
            break
        if hits / kept.sum() > purity:
            best, purity = float(least), hits / kept.sum()
    return best
