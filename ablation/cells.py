"""Values and bootstrap resamples of one test of one detector on disk, and cells of the table from them.

Every resample draws the same pictures for every detector (the same seed, the same set), so that means over seeds and
differences between arms are sums of arrays; no pixel and no count is read again.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ablation.content import Contents, matched_auroc
from ablation.grid import MATCHED
from detector.score.bootstrap import Estimate, estimate, resample_weights
from detector.score.counts import F64, Counts
from detector.score.metrics import values
from shards.errors import MissingInputError
from shards.files import write_bytes

BOOTSTRAP_SEED = "ablation"


def all_values(counts: Counts, weights: F64, contents: Contents | None) -> dict[str, F64]:
    """float64 [B] for weights [B, N]: every metric, and the image AUROC among pictures of the same content."""
    return {**values(counts, weights), MATCHED: matched(counts, weights, contents)}


def matched(counts: Counts, weights: F64, contents: Contents | None) -> F64:
    """float64 [B], NaN where the content of pictures is not known."""
    if contents is None:
        return np.full(len(weights), np.nan)
    there = counts.valid > 0
    shown = [contents[key][0] for key, counted in zip(counts.keys, there, strict=True) if counted]
    return matched_auroc(weights[:, there], counts.max_score[there], counts.artifact[there] > 0, shown)


def resampled(counts: Counts, resamples: int, contents: Contents | None) -> tuple[dict[str, float], dict[str, F64]]:
    """The value of each metric on the set itself, and on its resamples."""
    size = len(counts.keys)
    points = {name: float(one[0]) for name, one in all_values(counts, np.ones((1, size)), contents).items()}
    chunks = resample_weights(size, resamples, BOOTSTRAP_SEED) if resamples and size > 1 else ()
    drawn = [all_values(counts, weights, contents) for weights in chunks]
    return points, {name: np.concatenate([one[name] for one in drawn]) if drawn else np.zeros(0) for name in points}


def numbers(counts: Counts) -> tuple[int, int, int]:
    """Images: all, with artifacts, without."""
    clean = (counts.artifact == 0) & (counts.valid > 0)
    return len(counts.keys), int((counts.artifact > 0).sum()), int(clean.sum())


def save_resamples(folder: Path, counts: Counts, resamples: int, contents: Contents | None) -> dict[str, float]:
    """Write FOLDER/resamples-N.npz; returns the value of each metric on the set itself. Raises OutputError."""
    points, arrays = resampled(counts, resamples, contents)
    names = sorted(points)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array(names),
        points=np.array([points[name] for name in names]),
        drawn=np.stack([arrays[name] for name in names]),
        images=np.array(numbers(counts)),
    )
    write_bytes(folder / f"resamples-{resamples}.npz", buffer.getvalue())
    return points


@dataclasses.dataclass(frozen=True)
class Cell:
    """An arm with a backbone on a test set: values of each seed and the mean's resamples, by metric."""

    points: Mapping[str, list[float]]
    drawn: Mapping[str, F64]
    images: tuple[int, int, int]
    """Of the test: all, with artifacts, without."""

    def estimate(self, metric: str) -> Estimate:
        """The mean over seeds with its interval over images."""
        each = self.points[metric]
        mean = float(np.mean(each))
        found = estimate(mean, self.drawn[metric], self.images[0], "not defined")
        std = float(np.std(each, ddof=1)) if len(each) > 1 and not np.isnan(mean) else None
        per_seed = tuple(None if np.isnan(value) else value for value in each)
        return dataclasses.replace(found, per_seed=per_seed, seed_std=std)

    def minus(self, other: Cell, metric: str) -> Estimate:
        """The paired difference: every resample draws the same images on both sides."""
        value = float(np.mean(self.points[metric]) - np.mean(other.points[metric]))
        return estimate(value, self.drawn[metric] - other.drawn[metric], self.images[0], "not defined")

    def recovered(self, floor: Cell, ceiling: Cell, metric: str) -> Estimate:
        """Performance gap recovered (Burns et al. 2023): the share of the distance from floor to ceiling, paired.

        Not defined where floor and ceiling are not told apart: a share of nothing.
        """
        gap = ceiling.minus(floor, metric)
        if gap.value is None or gap.low is None or gap.high is None or gap.low <= 0 <= gap.high:
            return Estimate(None, reason="floor and ceiling are not told apart")
        value = float(np.mean(self.points[metric]) - np.mean(floor.points[metric])) / gap.value
        width = ceiling.drawn[metric] - floor.drawn[metric]
        drawn = np.divide(
            self.drawn[metric] - floor.drawn[metric], width, out=np.full_like(width, np.nan), where=width != 0
        )
        return estimate(value, drawn, self.images[0], "not defined")


def cell_of(seeds: Sequence[Counts], resamples: int, contents: Contents | None) -> Cell:
    """The cell of a test from the counts of its seeds."""
    found = [resampled(counts, resamples, contents) for counts in seeds]
    points = {name: [one[name] for one, _ in found] for name in found[0][0]}
    drawn = {name: np.mean([one[name] for _, one in found], axis=0) for name in points}
    return Cell(points, drawn, numbers(seeds[0]))


def load_cell(folders: Sequence[Path], resamples: int) -> Cell:
    """The cell of a test from the folders of its seeds. Raises MissingInputError."""
    read = [load_resamples(folder / f"resamples-{resamples}.npz") for folder in folders]
    names, images = [str(name) for name in read[0]["names"]], read[0]["images"]
    points = {name: [float(one["points"][i]) for one in read] for i, name in enumerate(names)}
    drawn = np.mean([one["drawn"] for one in read], axis=0)
    counted = (int(images[0]), int(images[1]), int(images[2]))
    return Cell(points, {name: drawn[i] for i, name in enumerate(names)}, counted)


def load_resamples(path: Path) -> dict[str, F64]:
    """Arrays of one detector. Raises MissingInputError where they are not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("names", "points", "drawn", "images")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise MissingInputError(f"{path} cannot be read ({error}); delete its folder and run again") from error
