"""Bootstrap intervals over images, mean over training seeds, paired differences.

An image is the unit: pixels of one image are not independent. All seeds and both sides of a difference see the same
resamples, drawn from a named seed, so that nothing depends on order, chunks or machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.score.counts import F64, Counts, ScoreError
from detector.score.metrics import METRICS, Metric, point_values, reason_undefined, values

LEVEL = 0.95
CHUNK_CELLS = 2_000_000
"""Weights (resamples x images) held at a time: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval; None where either is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float:
        """Half of the interval's width; infinite where there is none."""
        return math.inf if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Estimate(Interval):
    """A figure of the scores, or a difference; None is n/a and `reason` says why."""

    per_seed: tuple[float | None, ...] = ()
    """Value of each training seed; for a difference empty."""
    seed_std: float | None = None
    """Sample standard deviation over training seeds; None with one seed, and for a difference."""
    resamples: int = 0
    """Resamples in which the metric is defined; the interval rests on these."""
    reason: str = ""


def resample_weights(num_images: int, resamples: int, seed: str) -> Iterator[F64]:
    """Chunks [b, N] of how often each image is drawn; resample i depends on (seed, i, N) only."""
    name = [int(word) for word in np.frombuffer(hashlib.sha256(seed.encode("utf-8")).digest(), "<u4")]
    chunk = max(1, CHUNK_CELLS // num_images)
    for first in range(0, resamples, chunk):
        rows = range(first, min(first + chunk, resamples))
        draws = (np.random.default_rng([*name, row]).integers(0, num_images, num_images) for row in rows)
        yield np.stack([np.bincount(draw, minlength=num_images) for draw in draws]).astype(np.float64)


def mean_over_seeds(results: Sequence[Counts], weights: F64) -> dict[str, F64]:
    """float64 [B] a metric; NaN where it is not defined for every seed."""
    found = [values(counts, weights) for counts in results]
    return {metric.key: np.mean([one[metric.key] for one in found], axis=0) for metric in METRICS}


def check_seeds(results: Sequence[Counts]) -> None:
    """Raise ScoreError unless all results are of the same kind, on the same images and truth."""
    if not results:
        raise ScoreError("there is no result; give one for each training seed")
    first = results[0]
    for other in results[1:]:
        check_pair(first, other)
        if (other.kind, other.threshold) != (first.kind, first.threshold):
            raise ScoreError(
                f"training seeds were scored differently: {first.kind} at threshold {first.threshold:g} "
                f"and {other.kind} at {other.threshold:g}"
            )


def check_pair(one: Counts, other: Counts) -> None:
    """Raise ScoreError unless both were scored on the same images and the same truth."""
    if one.keys != other.keys:
        apart = sorted(set(one.keys) ^ set(other.keys))
        raise ScoreError(
            f"{len(apart)} images are in only one of two results, first {apart[0]}; score both on the same images"
        )
    same = np.array_equal(one.artifact, other.artifact) and np.array_equal(one.valid, other.valid)
    if not same or one.meet != other.meet or one.soft_truth != other.soft_truth:
        raise ScoreError("two results are on the same keys but not on the same truth or resolution; score them again")


def summarise(results: Sequence[Counts], resamples: int = 1000, seed: str = "scores") -> dict[str, Estimate]:
    """Mean over training seeds with its 95% interval over images, for every metric in the order of the table.

    Args:
        results: one `Counts` for each training seed, all on the same images.
        resamples: bootstrap resamples; 0 gives no intervals.
        seed: name of the bootstrap's seed.
    """
    check_seeds(results)
    points = [point_values(counts) for counts in results]
    drawn = draw(results, (), resamples, seed)
    found = {}
    for metric in METRICS:
        per_seed = [point[metric.key] for point in points]
        value = float(np.mean(per_seed))
        one = estimate(value, drawn[metric.key], len(results[0].keys), why_undefined(metric, results, per_seed))
        std = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 and not math.isnan(value) else None
        each = tuple(None if math.isnan(value) else value for value in per_seed)
        found[metric.key] = dataclasses.replace(one, per_seed=each, seed_std=std)
    return found


def compare(
    results: Sequence[Counts], reference: Sequence[Counts], resamples: int = 1000, seed: str = "scores"
) -> dict[str, Estimate]:
    """Paired difference `results` minus `reference`, each the mean over its training seeds, with its 95% interval.

    Raises ScoreError unless both were scored on the same images and truth. The numbers of seeds may differ.
    """
    check_seeds(results)
    check_seeds(reference)
    check_pair(results[0], reference[0])
    ours, theirs = ([point_values(counts) for counts in side] for side in (results, reference))
    drawn = draw(results, reference, resamples, seed)
    found = {}
    for metric in METRICS:
        mine, other = ([point[metric.key] for point in side] for side in (ours, theirs))
        reason = why_undefined(metric, results, mine) or why_undefined(metric, reference, other)
        value = float(np.mean(mine) - np.mean(other))
        found[metric.key] = estimate(value, drawn[metric.key], len(results[0].keys), reason)
    return found


def draw(results: Sequence[Counts], reference: Sequence[Counts], resamples: int, seed: str) -> dict[str, F64]:
    """float64 [resamples] a metric: mean over seeds, minus that of the reference where there is one."""
    num_images = len(results[0].keys)
    if resamples < 1 or num_images < 2:
        return {metric.key: np.zeros(0) for metric in METRICS}
    chunks = []
    for weights in resample_weights(num_images, resamples, seed):
        chunk = mean_over_seeds(results, weights)
        if reference:
            theirs = mean_over_seeds(reference, weights)
            chunk = {key: value - theirs[key] for key, value in chunk.items()}
        chunks.append(chunk)
    return {metric.key: np.concatenate([chunk[metric.key] for chunk in chunks]) for metric in METRICS}


def estimate(value: float, drawn: F64, num_images: int, reason: str) -> Estimate:
    """`interval_of`, with the number of resamples it rests on, or why there is none."""
    found = interval_of(value, drawn)
    if found.value is None:
        return Estimate(None, reason=reason)
    if found.low is None:
        return Estimate(value, reason="no interval: one image" if num_images < 2 else "no interval: no resamples")
    return Estimate(value, found.low, found.high, resamples=int(np.count_nonzero(~np.isnan(drawn))))


def interval_of(value: float, drawn: F64) -> Interval:
    """Percentile interval of the resamples in which the figure is defined; NaN is not defined."""
    if math.isnan(value):
        return Interval(None)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Interval(float(value))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def why_undefined(metric: Metric, results: Sequence[Counts], per_seed: Sequence[float]) -> str:
    """Why the mean over seeds is n/a, "" if it is not; names the seeds where only some are to blame."""
    missing = [i for i, value in enumerate(per_seed) if math.isnan(value)]
    if not missing:
        return ""
    reason = reason_undefined(metric, results[missing[0]])
    blame = f" (training seed {', '.join(str(i + 1) for i in missing)})" if len(missing) < len(results) else ""
    return reason + blame
