"""Regions: connected components (8 neighbours) of truth and prediction, and the figures that count them, not pixels.

Legend: T true regions, P predicted regions, N images, B bootstrap resamples, 256 score bins.

A predicted region is a component of the pixels at or above the threshold; its score is its largest pixel. Ignored
pixels belong to neither side. Bergmann et al. 2021 (per-region overlap), Lin et al. 2014 (average precision over
detections, greedy matching), Kang et al. 2025 (LEGION: region IoU with Hungarian matching).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.masks import IGNORE, U8, label_components

F64 = NDArray[np.float64]
NUM_BINS = 256
MATCH_IOUS = (0.25, 0.5)
"""A predicted region is right where it overlaps a true one so much that no other has claimed."""
PRO_LIMIT = 0.3
"""AUPRO is the area up to this false-positive rate, divided by it."""


@dataclass(frozen=True)
class ImageRegions:
    """The regions of one image."""

    histograms: NDArray[np.uint32] | None
    """uint32 [T, 256]: pixels of each true region by score bin; None for masks."""
    pixels: NDArray[np.int64]
    """int64 [T]."""
    scores: NDArray[np.float32]
    """float32 [P]: largest score in each predicted region, 1 for masks."""
    matched: NDArray[np.bool_]
    """bool [P, 2]: whether it is right at each of MATCH_IOUS."""
    region_iou: float
    """Sum of the IoUs of the best one-to-one matching / max(T, P); NaN without a true region."""


@dataclass(frozen=True)
class Regions:
    """Those of all images, one after another."""

    truth_image: NDArray[np.int32]
    """int32 [T]: index of the image of each true region."""
    pixels: NDArray[np.int64]
    histograms: NDArray[np.uint32] | None
    found_image: NDArray[np.int32]
    """int32 [P]."""
    scores: NDArray[np.float32]
    matched: NDArray[np.bool_]
    region_iou: F64
    """float64 [N]."""


def count_regions(truth: U8, prediction: NDArray[Any], threshold: float) -> ImageRegions:
    """The regions of one image.

    Args:
        truth: uint8 HW, 0 clean, 1 artifact, 255 ignore.
        prediction: float HW 0..1, or uint8/bool HW mask with 0 and 1.
    """
    is_mask = prediction.dtype.kind != "f"
    said = prediction == 1 if is_mask else prediction >= threshold
    true_labels, num_true = label_components(truth)
    found_labels, num_found = label_components((said & (truth != IGNORE)).astype(np.uint8))
    pixels = np.bincount(true_labels.ravel(), minlength=num_true + 1)[1:]
    found_pixels = np.bincount(found_labels.ravel(), minlength=num_found + 1)[1:]
    scores = np.ones(num_found, np.float32)
    histograms = None
    if not is_mask:
        scores = largest(prediction, found_labels, num_found)
        histograms = region_histograms(prediction, true_labels, num_true)
    pairs, ious = overlaps(true_labels, found_labels, pixels, found_pixels)
    matched = np.stack([greedy_matches(pairs[ious >= least], ious[ious >= least], scores) for least in MATCH_IOUS], 1)
    iou = best_matching(pairs, ious) / max(num_true, num_found) if num_true else float("nan")
    return ImageRegions(histograms, pixels, scores, matched, iou)


def largest(prediction: NDArray[Any], labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """float32 [count]: largest value under each label 1..count."""
    found = np.full(count + 1, -np.inf, np.float32)
    inside = labels > 0
    np.maximum.at(found, labels[inside], prediction[inside].astype(np.float32))
    return found[1:]


def region_histograms(prediction: NDArray[Any], labels: NDArray[np.int32], count: int) -> NDArray[np.uint32]:
    """uint32 [count, 256]: pixels under each label 1..count by round(255 * score)."""
    inside = labels > 0
    bins = np.rint(prediction[inside].astype(np.float32) * np.float32(255)).astype(np.int64)
    flat = np.bincount((labels[inside].astype(np.int64) - 1) * NUM_BINS + bins, minlength=count * NUM_BINS)
    return flat.reshape(count, NUM_BINS).astype(np.uint32)


def overlaps(
    true_labels: NDArray[np.int32],
    found_labels: NDArray[np.int32],
    pixels: NDArray[np.int64],
    found_pixels: NDArray[np.int64],
) -> tuple[NDArray[np.int64], F64]:
    """Pairs int64 [K, 2] (true, found), from 0, that share a pixel, and the IoU of each."""
    both = (true_labels > 0) & (found_labels > 0)
    touching = np.stack([true_labels[both], found_labels[both]], 1).astype(np.int64)
    found, shared = np.unique(touching, axis=0, return_counts=True)
    pairs = found.reshape(-1, 2) - 1
    union = pixels[pairs[:, 0]] + found_pixels[pairs[:, 1]] - shared
    return pairs, np.asarray(shared / np.maximum(union, 1), np.float64)


def greedy_matches(pairs: NDArray[np.int64], ious: F64, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [P]: found regions, best score first, each take the free true region of largest IoU (COCO's rule)."""
    taken: set[int] = set()
    matched = np.zeros(len(scores), bool)
    order = np.lexsort((-ious, pairs[:, 1], -scores[pairs[:, 1]]))
    for true, found in pairs[order].tolist():
        if not matched[found] and true not in taken:
            matched[found] = True
            taken.add(true)
    return matched


def best_matching(pairs: NDArray[np.int64], ious: F64) -> float:
    """Largest sum of IoUs over one-to-one matchings, group by group of regions that touch each other."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return 0.0
    num_true = int(pairs[:, 0].max()) + 1
    size = num_true + int(pairs[:, 1].max()) + 1
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1] + num_true)), shape=(size, size))
    group = connected_components(graph, directed=False)[1][pairs[:, 0]]
    total = 0.0
    for one in np.unique(group):
        chosen = pairs[group == one]
        rows, columns = (np.unique(chosen[:, side], return_inverse=True) for side in (0, 1))
        table = np.zeros((len(rows[0]), len(columns[0])))
        table[rows[1], columns[1]] = ious[group == one]
        total += float(table[linear_sum_assignment(table, maximize=True)].sum())
    return total


def stack_regions(images: Sequence[ImageRegions]) -> Regions:
    """One table of all images; scores for all or for none."""
    sizes = [(len(one.pixels), len(one.scores)) for one in images]
    places = np.arange(len(images), dtype=np.int32)
    histograms = [one.histograms for one in images if one.histograms is not None]
    return Regions(
        truth_image=np.repeat(places, [true for true, _ in sizes]),
        pixels=np.concatenate([one.pixels for one in images]),
        histograms=np.concatenate(histograms) if len(histograms) == len(images) else None,
        found_image=np.repeat(places, [found for _, found in sizes]),
        scores=np.concatenate([one.scores for one in images]),
        matched=np.concatenate([one.matched for one in images]),
        region_iou=np.array([one.region_iou for one in images]),
    )


def detection_ap(regions: Regions, weights: F64, column: int) -> F64:
    """Average precision of predicted regions at MATCH_IOUS[column]: sum of (R_n - R_n-1) P_n, equal scores at once.

    weights BN -> B, NaN without true regions.
    """
    num_true = weights[:, regions.truth_image].sum(axis=1)
    order = np.argsort(-regions.scores, kind="stable")
    each, right = weights[:, regions.found_image[order]], regions.matched[order, column]
    last = np.flatnonzero(np.diff(regions.scores[order], append=-1.0))
    found = np.cumsum(each, axis=1)[:, last]
    hits = np.cumsum(each * right, axis=1)[:, last]
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    gained = (np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1)
    return np.divide(gained, num_true, out=np.full(len(weights), np.nan), where=num_true > 0)


def aupro(regions: Regions, weights: F64, clean: F64) -> F64:
    """Area under per-region overlap against false-positive rate, up to PRO_LIMIT and divided by it.

    Per-region overlap: mean over true regions of the share of their pixels at or above a threshold. `clean`: float
    [B, 256], clean pixels by score bin. weights BN -> B, NaN without true regions, clean pixels or scores.
    """
    area = np.full(len(weights), np.nan)
    if regions.histograms is None or not len(regions.pixels):
        return area
    falling = regions.histograms[:, ::-1].astype(np.float64)
    share = np.cumsum(falling, axis=1) / regions.pixels[:, None]
    each = weights[:, regions.truth_image]
    number, pixels = each.sum(axis=1), clean.sum(axis=1)
    for b in np.flatnonzero((number > 0) & (pixels > 0)):
        overlap = np.concatenate([[0.0], each[b] @ share / number[b]])
        rate = np.concatenate([[0.0], np.cumsum(clean[b, ::-1]) / pixels[b]])
        area[b] = area_below(rate, overlap, PRO_LIMIT) / PRO_LIMIT
    return area


def area_below(x: F64, y: F64, limit: float) -> float:
    """Trapezoid area under (x, y), x rising from 0, up to x = limit, with y interpolated there."""
    inside = x <= limit
    if inside.all():
        return float(np.trapezoid(y, x))
    after = int(np.flatnonzero(~inside)[0])
    share = (limit - x[after - 1]) / (x[after] - x[after - 1])
    edge = y[after - 1] + share * (y[after] - y[after - 1])
    return float(np.trapezoid(np.append(y[:after], edge), np.append(x[:after], limit)))


def mean_region_iou(regions: Regions, weights: F64) -> F64:
    """Mean region IoU over the images with a true region. weights BN -> B."""
    there = ~np.isnan(regions.region_iou)
    number = weights[:, there].sum(axis=1)
    total = weights[:, there] @ regions.region_iou[there]
    return np.divide(total, number, out=np.full(len(weights), np.nan), where=number > 0)
