"""What is counted on one image, and the table of all images. Nothing here is a ratio except the heat-map scores.

Legend: N images, HW pixels, 256 score bins (bin v holds scores that round to v / 255).
A prediction is float HW with scores 0..1, or a mask: uint8 or bool HW with 0 clean, 1 artifact.
Truth is uint8 HW: 0 clean, 1 artifact, 255 ignore; ignored pixels enter nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.score.heatmaps import HEAT_SCORES, heat_scores
from detector.score.regions import ImageRegions, Regions, count_regions, stack_regions
from shards.errors import SchemaError, UserError
from shards.masks import ARTIFACT, IGNORE, U8, check_mask

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
U32 = NDArray[np.uint32]
Kind = Literal["scores", "masks"]
NUM_BINS = 256
COLUMNS = ("height", "width", "ignored", "tp", "fp", "fn", "tn", "empty_heat")
"""Integer columns of the table. `empty_heat` is 1 where the truth of the heat-map scores is zero everywhere."""
SIZE, HIT, EMPTY_HEAT = slice(0, 3), slice(3, 7), 7


class ScoreError(UserError, ValueError):
    """Predictions, truth or options that cannot be scored."""


@dataclass(frozen=True)
class ImageCounts:
    """One image: integer counts int64 [8] in the order of `COLUMNS`, and what scores (not masks) give."""

    key: str
    numbers: I64
    histogram: U32 | None
    """uint32 [2, 256]: pixels by truth (0 clean, 1 artifact) and score bin; 2 KB."""
    levels: NDArray[np.float32] | None
    """float32 [256]: the one score found in a bin, NaN where there is none, inf where there are several; 1 KB."""
    heat: F64
    """float64 [6] in the order of `HEAT_SCORES`, NaN where a score does not apply."""
    max_score: float
    """Largest score 0..1 on a pixel that counts, NaN for masks or where no pixel counts."""
    regions: ImageRegions


@dataclass(frozen=True)
class Counts:
    """All images of one prediction of a set, sorted by key. About 2.2 KB an image with scores, 130 bytes with masks."""

    keys: tuple[str, ...]
    kind: Kind
    threshold: float
    numbers: I64
    """int64 [N, 8], columns `COLUMNS`."""
    histograms: U32 | None
    """uint32 [N, 2, 256], None for masks."""
    spread: NDArray[np.bool_] | None
    """bool [256], None for masks: bins that hold several scores over all images, not one that many pixels share."""
    heat: F64
    """float64 [N, 6], columns `HEAT_SCORES`."""
    max_score: F64
    """float64 [N]."""
    regions: Regions
    meet: str = "truth"
    """Where truth and prediction met, see detector.score.eval_size."""
    soft_truth: bool = False
    """Whether the heat-map scores were taken against soft heat maps instead of the masks."""
    stretched: int = 0
    """Predictions that were resized and had another aspect ratio than their truth."""
    resized: int = 0

    @property
    def hits(self) -> I64:
        """int64 [N, 4]: tp, fp, fn, tn."""
        return self.numbers[:, HIT]

    @property
    def valid(self) -> I64:
        """int64 [N]: pixels that count."""
        return np.asarray(self.hits.sum(axis=1))

    @property
    def artifact(self) -> I64:
        """int64 [N]: artifact pixels of the truth."""
        return np.asarray(self.numbers[:, 3] + self.numbers[:, 5])

    @property
    def predicted(self) -> I64:
        """int64 [N]: pixels predicted as artifact, among those that count."""
        return np.asarray(self.numbers[:, 3] + self.numbers[:, 4])


def count_image(
    key: str, truth: U8, prediction: NDArray[Any], threshold: float = 0.5, truth_heat: NDArray[Any] | None = None
) -> ImageCounts:
    """Count one image.

    Args:
        truth: uint8 HW, 0 clean, 1 artifact, 255 ignore.
        prediction: float HW, scores 0..1, or uint8/bool HW mask with 0 and 1; same HW as the truth.
        threshold: a pixel is predicted artifact where score >= threshold (masks: where 1).
        truth_heat: float HW 0..1, soft truth of the heat-map scores; None takes the mask.

    Raises:
        ScoreError: shapes that differ, values out of range, NaN, other dtypes.
    """
    try:
        check_mask(truth)
    except SchemaError as error:
        raise ScoreError(f"{key}: truth: {error}") from error
    is_mask = check_prediction(key, truth.shape, prediction)
    counts = truth != IGNORE
    all_count = bool(counts.all())
    true = (truth if all_count else truth[counts]).ravel() == ARTIFACT
    scores = (prediction if all_count else prediction[counts]).ravel()
    soft = true.astype(np.float64)
    if truth_heat is not None:
        check_soft_truth(key, truth.shape, truth_heat)
        soft = np.asarray(truth_heat if all_count else truth_heat[counts], np.float64).ravel()
    said = scores == 1 if is_mask else scores >= threshold
    regions = count_regions(truth, prediction, threshold)
    tp = int(np.count_nonzero(true & said))
    fp, fn = int(np.count_nonzero(said)) - tp, int(np.count_nonzero(true)) - tp
    ignored = truth.size - true.size
    numbers = np.array([*truth.shape, ignored, tp, fp, fn, true.size - tp - fp - fn, not soft.any()], np.int64)
    if is_mask or not true.size:
        histogram = None if is_mask else np.zeros((2, NUM_BINS), np.uint32)
        levels = None if is_mask else np.full(NUM_BINS, np.nan, np.float32)
        return ImageCounts(key, numbers, histogram, levels, np.full(len(HEAT_SCORES), np.nan), float("nan"), regions)
    histogram, levels = score_histogram(scores.astype(np.float32, copy=False), true)
    heat = heat_scores(scores, soft, true, histogram)
    return ImageCounts(key, numbers, histogram, levels, heat, float(scores.max()), regions)


def check_prediction(key: str, shape: tuple[int, ...], prediction: NDArray[Any]) -> bool:
    """Whether the prediction is a mask. Raises ScoreError."""
    if prediction.shape != shape:
        raise ScoreError(f"{key}: prediction is {prediction.shape}, truth {shape}; bring them together first")
    if prediction.dtype in (np.bool_, np.uint8):
        if prediction.size and prediction.max() > 1:
            raise ScoreError(f"{key}: a mask holds 0 and 1, got the value {prediction.max()}; scores are float 0..1")
        return True
    if prediction.dtype.kind != "f":
        raise ScoreError(f"{key}: prediction has dtype {prediction.dtype}; use float (scores) or uint8, bool (mask)")
    check_unit_range(key, "prediction", prediction)
    return False


def check_soft_truth(key: str, shape: tuple[int, ...], heat: NDArray[Any]) -> None:
    """Raise ScoreError unless `heat` is float of this shape within 0..1."""
    if heat.shape != shape or heat.dtype.kind != "f":
        raise ScoreError(f"{key}: truth heat is {heat.dtype} of shape {heat.shape}; expected float of {shape}")
    check_unit_range(key, "truth heat", heat)


def check_unit_range(key: str, name: str, array: NDArray[Any]) -> None:
    """Raise ScoreError unless all values are finite and within 0..1."""
    if not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ScoreError(f"{key}: {name} holds values {low:g}..{high:g}; scores are finite and within 0..1")


def score_histogram(scores: NDArray[np.float32], true: NDArray[np.bool_]) -> tuple[U32, NDArray[np.float32]]:
    """float32 [n] 0..1 and bool [n] -> counts uint32 [2, 256] by truth and round(255 * score), and `levels`."""
    bins = np.rint(scores * np.float32(255)).astype(np.intp)
    levels = np.full(NUM_BINS, np.nan, np.float32)
    levels[bins] = scores
    levels[bins[levels[bins] != scores]] = np.inf
    counted = np.bincount(bins + NUM_BINS * true, minlength=2 * NUM_BINS)
    return counted.astype(np.uint32).reshape(2, NUM_BINS), levels


def merge_levels(images: Sequence[ImageCounts]) -> NDArray[np.bool_]:
    """bool [256]: bins that hold several scores in one image, or different ones in two."""
    low, high = np.full(NUM_BINS, np.inf), np.full(NUM_BINS, -np.inf)
    for image in images:
        if image.levels is not None:
            low, high = np.fmin(low, image.levels), np.fmax(high, image.levels)
    return np.asarray((low < high) | np.isposinf(high))


def stack(images: Sequence[ImageCounts], threshold: float, **facts: Any) -> Counts:
    """Images in any order -> `Counts` sorted by key. Raises ScoreError: none, a key twice, masks and scores mixed."""
    if not images:
        raise ScoreError("there is nothing to score: no pair of prediction and truth")
    images = sorted(images, key=lambda image: image.key)
    twice = next((a.key for a, b in itertools.pairwise(images) if a.key == b.key), None)
    if twice is not None:
        raise ScoreError(f"key {twice} occurs twice; every image is scored once")
    histograms = [image.histogram for image in images if image.histogram is not None]
    if histograms and len(histograms) != len(images):
        masks = len(images) - len(histograms)
        raise ScoreError(f"{masks} of {len(images)} predictions are masks, the others scores; score them apart")
    return Counts(
        keys=tuple(image.key for image in images),
        kind="scores" if histograms else "masks",
        threshold=threshold,
        numbers=np.stack([image.numbers for image in images]),
        histograms=np.stack(histograms) if histograms else None,
        spread=merge_levels(images) if histograms else None,
        heat=np.stack([image.heat for image in images]),
        max_score=np.array([image.max_score for image in images], np.float64),
        regions=stack_regions([image.regions for image in images]),
        **facts,
    )
