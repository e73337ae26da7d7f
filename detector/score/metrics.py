"""Every metric under its exact name, as a ratio of sums of counts.

`values` takes weights BN: how often each of N images stands in each of B resamples (all ones for the set itself), so
that a figure and its bootstrap interval come from the same lines. Counts are summed first and divided last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.score.counts import EMPTY_HEAT, F64, NUM_BINS, Counts
from detector.score.heatmaps import HEAT_SCORES
from detector.score.operating import IMAGE_RATES, image_tpr, pixel_fpr_at_recall
from detector.score.regions import aupro, detection_ap, mean_region_iou

NUM_CALIBRATION_BINS = 15
"""Guo et al. 2017. 255 = 15 * 17, so that each holds 17 of the score bins (the last 18)."""
BLOCK = 1024
"""Images whose histograms are summed at a time; bounds the memory of the float copy to 4 MB."""


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    key: str
    name: str
    needs: frozenset[str] = frozenset()
    """What must be there: scores (not masks), artifact (images with artifact pixels), clean (images without)."""
    percent: bool = True
    """Whether the table shows it times 100; the JSON never does."""
    higher_is_better: bool = True


def _metric(key: str, name: str, needs: str = "", percent: bool = True, higher: bool = True) -> Metric:
    return Metric(key, name, frozenset(needs.split()), percent, higher)


METRICS: tuple[Metric, ...] = (
    _metric("artifact_iou", "artifact IoU (data set)", "artifact"),
    _metric("two_class_mean_iou", "two-class mean IoU", "artifact"),
    _metric("artifact_iou_per_image", "artifact IoU (mean over images, empty/empty = 1)", "artifact"),
    _metric("oracle_threshold_iou", "oracle-threshold IoU", "artifact scores"),
    _metric("precision", "precision", "artifact"),
    _metric("recall", "recall", "artifact"),
    _metric("f1", "F1", "artifact"),
    _metric("pixel_ap", "pixel AP", "artifact scores"),
    _metric("pixel_auroc", "pixel AUROC", "artifact scores"),
    _metric("image_auroc_max", "image AUROC (max)", "artifact clean scores"),
    _metric("image_auroc_par", "image AUROC (PAR)", "artifact clean"),
    _metric("image_tpr_at_1_fpr", "image TPR at 1% FPR", "artifact clean scores"),
    _metric("image_tpr_at_5_fpr", "image TPR at 5% FPR", "artifact clean scores"),
    _metric("image_tpr_at_10_fpr", "image TPR at 10% FPR", "artifact clean scores"),
    _metric("pixel_fpr_at_95_tpr", "pixel FPR at 95% TPR", "artifact scores", higher=False),
    _metric("aupro", "AUPRO (up to 30% FPR)", "artifact scores"),
    _metric("component_ap_25", "component AP at IoU 0.25", "artifact"),
    _metric("component_ap_50", "component AP at IoU 0.5", "artifact"),
    _metric("region_iou", "region IoU (one-to-one matching)", "artifact"),
    _metric("ece", "expected calibration error", "scores", higher=False),
    _metric("fpr_clean", "FPR on clean images", "clean", higher=False),
    _metric("apaa_clean", "APAA on clean images", "clean", higher=False),
    _metric("heat_mse", "heat-map MSE (all images)", "scores", percent=False, higher=False),
    _metric("heat_mse_empty", "heat-map MSE (empty truth)", "scores", percent=False, higher=False),
    _metric("heat_mse_nonempty", "heat-map MSE (non-empty truth)", "scores", percent=False, higher=False),
    _metric("heat_kld", "heat-map KLD", "scores", percent=False, higher=False),
    _metric("heat_cc", "heat-map CC", "scores", percent=False),
    _metric("heat_sim", "heat-map SIM", "scores", percent=False),
    _metric("heat_nss", "heat-map NSS", "artifact scores", percent=False),
    _metric("heat_auc_judd", "heat-map AUC-Judd", "artifact scores", percent=False),
)


def values(counts: Counts, weights: NDArray[Any]) -> dict[str, F64]:
    """float64 [B] for each metric key, NaN where it is not defined. `weights` is BN, 0 or more."""
    weights = np.asarray(weights, np.float64)
    found = {
        **area_scores(counts, weights),
        **curve_scores(counts, weights),
        **image_scores(counts, weights),
        **mean_heat_scores(counts, weights),
        **region_scores(counts, weights),
    }
    return {metric.key: found.get(metric.key, np.full(len(weights), np.nan)) for metric in METRICS}


def point_values(counts: Counts) -> dict[str, float]:
    """Each metric of the whole set, without interval: what a training loop wants. NaN where not defined."""
    whole = values(counts, np.ones((1, len(counts.keys))))
    return {key: float(value[0]) for key, value in whole.items()}


def ratio(above: F64, below: F64) -> F64:
    """above / below, NaN where below is 0."""
    found = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def weighted_mean(weights: F64, per_image: F64) -> F64:
    """Mean over the images whose value is not NaN. BN, N -> B."""
    there = ~np.isnan(per_image)
    return ratio(weights[:, there] @ per_image[there], weights[:, there].sum(axis=1))


def area_scores(counts: Counts, weights: F64) -> dict[str, F64]:
    """What follows from tp, fp, fn, tn at the threshold."""
    tp, fp, fn, tn = (weights @ counts.hits).T
    artifact = ratio(tp, tp + fp + fn)
    both = np.stack([artifact, ratio(tn, tn + fp + fn)])
    # A class that is nowhere drops out of the mean, as in mmseg; without artifact pixels nothing here is defined.
    mean = ratio(np.nansum(both, axis=0), (~np.isnan(both)).sum(axis=0))
    found = {
        "artifact_iou": artifact,
        "two_class_mean_iou": mean,
        "artifact_iou_per_image": weighted_mean(weights, image_iou(counts)),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }
    return {key: np.where(tp + fn > 0, value, np.nan) for key, value in found.items()}


def image_iou(counts: Counts) -> F64:
    """float64 [N]: artifact IoU of each image, 1 where truth and prediction are empty, NaN where no pixel counts."""
    tp, fp, fn, _ = counts.hits.T
    iou = np.where(tp + fp + fn > 0, ratio(tp, tp + fp + fn), 1.0)
    return np.where(counts.valid > 0, iou, np.nan)


def image_par(counts: Counts) -> F64:
    """float64 [N]: predicted artifact pixels / pixels that count (PAL's perceptual artifact ratio)."""
    return ratio(counts.predicted.astype(np.float64), counts.valid.astype(np.float64))


def sum_histograms(counts: Counts, weights: F64) -> F64:
    """uint32 [N, 2, 256] and BN -> float64 [B, 2, 256], exact while sums stay below 2**53."""
    assert counts.histograms is not None
    flat = counts.histograms.reshape(len(counts.keys), -1)
    total = np.zeros((len(weights), flat.shape[1]))
    for first in range(0, len(flat), BLOCK):
        total += weights[:, first : first + BLOCK] @ flat[first : first + BLOCK].astype(np.float64)
    return total.reshape(-1, 2, NUM_BINS)


def curve_scores(counts: Counts, weights: F64) -> dict[str, F64]:
    """What needs the distribution of scores: AP, AUROC, the best threshold, calibration."""
    if counts.histograms is None:
        return {}
    histogram = sum_histograms(counts, weights)
    clean, artifact = histogram[:, 0], histogram[:, 1]
    return {
        "oracle_threshold_iou": threshold_ious(clean, artifact).max(axis=1),
        "pixel_ap": average_precision(clean, artifact, counts.spread),
        "pixel_auroc": auroc(clean, artifact),
        "ece": calibration_error(clean, artifact),
        "pixel_fpr_at_95_tpr": pixel_fpr_at_recall(clean, artifact),
        "aupro": aupro(counts.regions, weights, clean),
    }


def threshold_ious(clean: F64, artifact: F64) -> F64:
    """Artifact IoU if bins v and above are predicted, for each bin v; NaN without artifacts. [B, 256] -> [B, 256]."""
    tp, fp, all_artifact = from_above(artifact), from_above(clean), artifact.sum(axis=1, keepdims=True)
    return np.where(all_artifact > 0, ratio(tp, fp + all_artifact), np.nan)


def from_above(histogram: F64) -> F64:
    """Number in each bin and all above it, along the last axis."""
    return np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1]


def average_precision(clean: F64, artifact: F64, spread: NDArray[np.bool_] | None = None) -> F64:
    """AP = sum over thresholds of (R_n - R_n-1) P_n. [B, bins] twice, [bins] -> [B].

    A bin that holds one score is one threshold. Where a bin holds several (`spread`), its pixels are taken as evenly
    mixed and precision is integrated over them, because the precision at the bin's end alone is 0.002 too low.
    """
    tp, fp = from_above(artifact), from_above(clean)
    at_end = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    if spread is not None and spread.any():
        mixed = mixed_precision(clean[:, spread], artifact[:, spread], tp[:, spread], fp[:, spread])
        at_end[:, spread] = mixed
    return ratio((artifact * at_end).sum(axis=1), artifact.sum(axis=1))


def mixed_precision(clean: F64, artifact: F64, tp: F64, fp: F64) -> F64:
    """Mean precision over the artifacts of a bin whose pixels are evenly mixed; tp, fp include the bin. All [B, bins].

    With a artifact of d pixels in the bin and t of c above it, the integral over s = 0..1 of (t + a s) / (c + d s) is
    a / d + (t - a c / d) / d * log(1 + d / c).
    """
    a, d = artifact, clean + artifact
    t, c = tp - a, tp + fp - d
    some = np.maximum(d, 1)  # bins without pixels weigh nothing
    growth = np.log1p(np.divide(d, c, out=np.zeros_like(d), where=c > 0))
    return np.asarray(a / some + (t - a * c / some) / some * growth)


def auroc(clean: F64, artifact: F64) -> F64:
    """P(score of an artifact > score of a clean one) + half of P(equal). [B, bins in rising order] twice -> [B]."""
    above = from_above(artifact) - artifact / 2
    return ratio((clean * above).sum(axis=1), clean.sum(axis=1) * artifact.sum(axis=1))


def calibration_error(clean: F64, artifact: F64) -> F64:
    """ECE = sum over 15 bins of n_b / n |mean score - share of artifact pixels|. [B, 256] twice -> [B]."""
    bins = np.minimum(np.arange(NUM_BINS) * NUM_CALIBRATION_BINS // 255, NUM_CALIBRATION_BINS - 1)
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    said = np.add.reduceat((clean + artifact) * (np.arange(NUM_BINS) / 255), first, axis=1)
    true = np.add.reduceat(artifact, first, axis=1)
    return ratio(np.abs(said - true).sum(axis=1), (clean + artifact).sum(axis=1))


def image_scores(counts: Counts, weights: F64) -> dict[str, F64]:
    """Image-level AUROC, and what is predicted on clean images."""
    there = counts.valid > 0
    broken = counts.artifact > 0
    clean = np.where(there & ~broken, 1.0, np.nan)
    found = {
        "image_auroc_par": image_auroc(weights[:, there], image_par(counts)[there], broken[there]),
        "fpr_clean": weighted_mean(weights, clean * (counts.predicted > 0)),
        "apaa_clean": weighted_mean(weights, clean * image_par(counts)),
    }
    if counts.kind == "scores":
        shown = weights[:, there], counts.max_score[there], broken[there]
        found["image_auroc_max"] = image_auroc(*shown)
        for rate, tpr in zip(IMAGE_RATES, image_tpr(*shown).T, strict=True):
            found[f"image_tpr_at_{rate * 100:.0f}_fpr"] = tpr
    return found


def region_scores(counts: Counts, weights: F64) -> dict[str, F64]:
    """What counts regions, at the threshold."""
    regions = counts.regions
    return {
        "component_ap_25": detection_ap(regions, weights, 0),
        "component_ap_50": detection_ap(regions, weights, 1),
        "region_iou": mean_region_iou(regions, weights),
    }


def image_auroc(weights: F64, score: F64, broken: NDArray[np.bool_]) -> F64:
    """AUROC of an image's score against "has artifact pixels". BN, N, N -> B."""
    if not score.size:
        return np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.diff(score[order], prepend=-1.0))
    artifact = np.add.reduceat(weights[:, order] * broken[order], first, axis=1)
    clean = np.add.reduceat(weights[:, order] * ~broken[order], first, axis=1)
    return auroc(clean, artifact)


def mean_heat_scores(counts: Counts, weights: F64) -> dict[str, F64]:
    """Means over images of the heat-map scores; MSE once more for empty and non-empty truth."""
    if counts.kind != "scores":
        return {}
    heat = dict(zip(HEAT_SCORES, counts.heat.T, strict=True))
    empty = counts.numbers[:, EMPTY_HEAT] == 1
    heat["mse_empty"] = np.where(empty, heat["mse"], np.nan)
    heat["mse_nonempty"] = np.where(empty, np.nan, heat["mse"])
    return {f"heat_{name}": weighted_mean(weights, per_image) for name, per_image in heat.items()}


def best_threshold(counts: Counts) -> float | None:
    """Threshold of `oracle-threshold IoU`: the lower edge of the best bin, 0..1; None where it is not defined."""
    if counts.histograms is None or not counts.artifact.any():
        return None
    clean, artifact = sum_histograms(counts, np.ones((1, len(counts.keys))))[0][:, None]
    return max(0.0, (int(threshold_ious(clean, artifact)[0].argmax()) - 0.5) / 255)


def reason_undefined(metric: Metric, counts: Counts) -> str:
    """Why a metric of the whole set is n/a, in a few words."""
    lacks: dict[str, Callable[[], bool]] = {
        "scores": lambda: counts.kind != "scores",
        "artifact": lambda: not counts.artifact.any(),
        "clean": lambda: not ((counts.artifact == 0) & (counts.valid > 0)).any(),
    }
    texts = {
        "scores": "needs scores, the predictions are masks",
        "artifact": "the truth has no artifact pixel",
        "clean": "no image without artifact pixels",
    }
    found = next(
        (texts[need] for need in ("scores", "artifact", "clean") if need in metric.needs and lacks[need]()), ""
    )
    if found:
        return found
    if metric.key == "precision":
        return "nothing is predicted"
    if metric.key == "heat_mse_empty":
        return "no image with empty truth"
    return "no image on which it is defined"
