"""Heat-map scores of one image, as RichHF (Liang et al. 2024, table 3) reports them.

Formulas: Bylinskii et al. 2019, "What do different evaluation metrics tell us about saliency models?".
P is the prediction, Q the truth, both over the pixels that count; bars are means, s standard deviations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAT_SCORES = ("mse", "kld", "cc", "sim", "nss", "auc_judd")
EPSILON = float(np.finfo(np.float64).eps)
"""Regulariser of the Kullback-Leibler divergence, 2.2e-16 as in the MIT saliency benchmark."""

F64 = NDArray[np.float64]


def heat_scores(prediction: NDArray[Any], truth: F64, fixated: NDArray[np.bool_], histogram: NDArray[np.uint32]) -> F64:
    """All scores of one image.

    Args:
        prediction: float [n], 0..1.
        truth: float [n], 0..1; the mask as 0 and 1, or a soft heat map.
        fixated: bool [n], artifact pixels of the mask; NSS and AUC-Judd are taken there.
        histogram: uint32 [2, 256] of the same pixels, see detector.score.counts.

    Returns:
        float64 [6] in the order of `HEAT_SCORES`. NaN where a score is not defined: all but MSE with empty truth, CC
        with constant truth, NSS and AUC-Judd without artifact pixels, AUC-Judd without clean ones. A constant
        prediction says nothing about place and gets what chance gets: CC 0, NSS 0, AUC 0.5, and an all-zero one
        counts as uniform in KLD and SIM.
    """
    p = prediction.astype(np.float64)
    scores = np.full(len(HEAT_SCORES), np.nan)
    scores[0] = np.mean((p - truth) ** 2)
    spread = float(p.std()) if p.max() > p.min() else 0.0
    if truth.any():
        scores[1:4] = divergence(p, truth), correlation(p, truth, spread), similarity(p, truth)
    if fixated.any():
        scores[4] = (p[fixated].mean() - p.mean()) / spread if spread else 0.0
        scores[5] = auc_judd(histogram)
    return scores


def share(heat: F64) -> F64:
    """Divide by the sum; a map of zeros becomes uniform."""
    total = heat.sum()
    return heat / total if total > 0 else np.full_like(heat, 1 / heat.size)


def divergence(p: F64, q: F64) -> float:
    """KLD(P, Q) = sum Q log(eps + Q / (eps + P)), both divided by their sums; 0 is best."""
    p, q = share(p), share(q)
    there = q > 0
    p, q = p[there], q[there]
    return float(np.sum(q * np.log(EPSILON + q / (EPSILON + p))))


def correlation(p: F64, q: F64, spread: float) -> float:
    """CC(P, Q) = mean((P - Pbar)(Q - Qbar)) / (sP sQ); NaN where Q is constant, 0 where only P is."""
    if q.max() == q.min():
        return float("nan")
    if not spread:
        return 0.0
    return float(np.mean((p - p.mean()) * (q - q.mean())) / (spread * q.std()))


def similarity(p: F64, q: F64) -> float:
    """SIM(P, Q) = sum min(P, Q), both divided by their sums; 1 is best."""
    return float(np.minimum(share(p), share(q)).sum())


def auc_judd(histogram: NDArray[np.uint32]) -> float:
    """Area under the ROC curve whose thresholds are the scores found on artifact pixels (from 256 bins).

    The trapezoids between those thresholds lie slightly above the full curve, so this is not the image's pixel AUROC.
    """
    clean, artifact = histogram[:, ::-1].astype(np.int64)
    if not clean.sum():
        return float("nan")
    at = artifact > 0
    tpr = np.concatenate([[0.0], np.cumsum(artifact)[at] / artifact.sum(), [1.0]])
    fpr = np.concatenate([[0.0], np.cumsum(clean)[at] / clean.sum(), [1.0]])
    return float(np.trapezoid(tpr, fpr))
