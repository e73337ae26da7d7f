"""Operating points: what is found at a false-alarm rate that a user can live with, and the threshold for it.

An image raises an alarm where its largest score reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detector.score.counts import F64, ScoreError

IMAGE_RATES = (0.01, 0.05, 0.10)
"""False-alarm rates at which the image-level recall is reported."""
PIXEL_RECALL = 0.95


def image_tpr(weights: F64, score: F64, broken: NDArray[np.bool_], rates: Sequence[float] = IMAGE_RATES) -> F64:
    """Largest share of broken images with score >= t, over thresholds t that at most `rate` of clean images reach.

    weights BN, score N, broken N -> float64 [B, rates]; NaN without broken or without clean images. The threshold is
    chosen among the scores themselves, nothing is interpolated.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits = np.cumsum(weights[:, order] * broken[order], axis=1)[:, last]
    alarms = np.cumsum(weights[:, order] * ~broken[order], axis=1)[:, last]
    found = np.full((len(weights), len(rates)), np.nan)
    for b in range(len(weights)):
        if not last.size or hits[b, -1] <= 0 or alarms[b, -1] <= 0:
            continue
        for k, rate in enumerate(rates):
            allowed = np.flatnonzero(alarms[b] <= rate * alarms[b, -1] * (1 + 1e-12))
            found[b, k] = hits[b, allowed[-1]] / hits[b, -1] if allowed.size else 0.0
    return found


def pixel_fpr_at_recall(clean: F64, artifact: F64, recall: float = PIXEL_RECALL) -> F64:
    """Smallest share of clean pixels at or above a bin's score that finds `recall` of the artifact pixels.

    Histograms [B, 256] by score bin -> [B]; NaN without either kind of pixel.
    """
    tp = np.cumsum(artifact[:, ::-1], axis=1)
    fp = np.cumsum(clean[:, ::-1], axis=1)
    enough = (tp >= recall * tp[:, -1:] * (1 - 1e-12)).argmax(axis=1)
    above = fp[np.arange(len(fp)), enough]
    there = (tp[:, -1] > 0) & (fp[:, -1] > 0)
    return np.divide(above, fp[:, -1], out=np.full(len(fp), np.nan), where=there)


def threshold_for_fpr(clean_scores: F64, rate: float) -> float:
    """Lowest threshold, 0 < t <= 1, that at most `rate` of clean images reach with their largest score.

    Args:
        clean_scores: float [N], the largest score 0..1 of each clean image.
        rate: share of clean images that may raise an alarm, 0 <= rate < 1.

    Raises ScoreError: no image, a rate out of range, a score that is not finite, or no threshold that is low enough
        (too many images with the score 1).
    """
    scores = np.sort(np.asarray(clean_scores, np.float64))[::-1]
    if not 0 <= rate < 1:
        raise ScoreError(f"the false-alarm rate is {rate:g}; allowed is 0 <= rate < 1, such as 0.05")
    if not scores.size or not np.isfinite(scores).all():
        raise ScoreError(f"{scores.size} clean images with finite scores; the threshold needs one or more")
    allowed = int(np.floor(rate * scores.size * (1 + 1e-12)))
    if allowed >= scores.size:
        return float(np.nextafter(0.0, 1.0))
    threshold = float(np.nextafter(np.float32(scores[allowed]), np.float32(2)))
    if threshold > 1:
        reached = int(np.count_nonzero(scores >= 1))
        raise ScoreError(
            f"{reached} of {scores.size} clean images reach the score 1, more than {rate:.3g} of them; "
            "no threshold keeps them out: allow a higher rate, or train longer"
        )
    return threshold
