"""The score that picks a checkpoint during training: integer counts over the whole validation set, ratios last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from detector.score.counts import I64, NUM_BINS
from detector.score.metrics import threshold_ious
from shards.masks import ARTIFACT, IGNORE


def confusion(predicted: torch.Tensor, truth: torch.Tensor) -> tuple[int, int, int]:
    """(true positives, false positives, false negatives) of the artifact class; both integer HW, truth 255 ignored."""
    seen = truth != IGNORE
    said, real = (predicted == ARTIFACT) & seen, (truth == ARTIFACT) & seen
    both = int((said & real).sum())
    return both, int(said.sum()) - both, int(real.sum()) - both


def score_histogram(logits: torch.Tensor, truth: torch.Tensor) -> I64:
    """int64 [2, 256]: pixels by truth (clean, artifact) and score 0..1 rounded to v / 255, as the scorer counts them.

    logits: float 2HW; truth: integer HW, 255 ignored.
    """
    bins = (logits.float().softmax(0)[ARTIFACT] * (NUM_BINS - 1)).round().long()
    seen = truth != IGNORE
    places = (truth == ARTIFACT)[seen] * NUM_BINS + bins[seen]
    counted: I64 = torch.bincount(places, minlength=2 * NUM_BINS).view(2, NUM_BINS).cpu().numpy()
    return counted


@METRICS.register_module()
class ArtifactIoU(BaseMetric):
    """Artifact IoU over the data set, and both classes' mean: counts added up, then ratios; 0 where undefined.

    `artifact_iou` and `two_class_mean_iou` are of the mask, which is a threshold of 0.5. `best_artifact_iou` is the
    IoU at the threshold where it is largest: what to choose weights by where the threshold is chosen afterwards. Else
    a detector whose scores are low throughout is judged at a threshold that it will never be used with.
    """

    default_prefix = "val"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of a batch, at the resolution of the truth."""
        for sample in data_samples:
            predicted, truth = sample["pred_sem_seg"]["data"], sample["gt_sem_seg"]["data"]
            truth = truth.to(predicted.device)
            seen = int((truth != IGNORE).sum())
            histogram = score_histogram(sample["seg_logits"]["data"], truth.squeeze(0))
            self.results.append((*confusion(predicted, truth), seen, histogram))

    def compute_metrics(self, results: list[tuple[int, int, int, int, I64]]) -> dict[str, float]:
        true, false, missed, seen = np.array([row[:4] for row in results]).sum(axis=0).tolist()
        clean_bins, artifact_bins = np.sum([row[4] for row in results], axis=0)[:, None]
        union, clean = true + false + missed, seen - true
        artifact_iou = true / union if union else 0.0
        clean_iou = (clean - false - missed) / clean if clean else 0.0
        mean = (artifact_iou + clean_iou) / 2
        best = float(threshold_ious(clean_bins, artifact_bins)[0].max()) if true + missed else 0.0
        ious = {"artifact_iou": artifact_iou, "two_class_mean_iou": mean, "best_artifact_iou": best}
        return {**ious, "tp": true, "fp": false, "fn": missed}


@METRICS.register_module()
class PixelAccuracy(BaseMetric):
    """Two-number summary of scene segmentation: share of right pixels, and IoU averaged over the classes that occur."""

    default_prefix = "val"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count pairs (truth, prediction) of a batch."""
        for sample in data_samples:
            predicted = sample["pred_sem_seg"]["data"].flatten().cpu().long()
            truth = sample["gt_sem_seg"]["data"].flatten().cpu().long()
            size, seen = len(self.dataset_meta["classes"]), truth != IGNORE
            self.results.append(torch.bincount(truth[seen] * size + predicted[seen], minlength=size * size))

    def compute_metrics(self, results: list[torch.Tensor]) -> dict[str, float]:
        pairs = torch.stack(results).sum(0).view(len(self.dataset_meta["classes"]), -1).double()
        right, union = pairs.diagonal(), pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
        there = pairs.sum(1) > 0
        return {
            "pixel_accuracy": float(right.sum() / pairs.sum()),
            "mean_class_iou": float((right[there] / union[there]).mean()),
        }
