"""The score that picks a checkpoint during training: integer counts over the whole validation set, ratios last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from shards.masks import ARTIFACT, IGNORE


def confusion(predicted: torch.Tensor, truth: torch.Tensor) -> tuple[int, int, int]:
    """(true positives, false positives, false negatives) of the artifact class; both integer HW, truth 255 ignored."""
    seen = truth != IGNORE
    said, real = (predicted == ARTIFACT) & seen, (truth == ARTIFACT) & seen
    both = int((said & real).sum())
    return both, int(said.sum()) - both, int(real.sum()) - both


@METRICS.register_module()
class ArtifactIoU(BaseMetric):  # type: ignore[misc]
    """Artifact IoU over the data set, and both classes' mean: counts added up, then ratios; 0 where undefined."""

    default_prefix = "val"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of a batch, at the resolution of the truth."""
        for sample in data_samples:
            predicted, truth = sample["pred_sem_seg"]["data"], sample["gt_sem_seg"]["data"]
            seen = int((truth != IGNORE).sum())
            self.results.append((*confusion(predicted, truth.to(predicted.device)), seen))

    def compute_metrics(self, results: list[tuple[int, int, int, int]]) -> dict[str, float]:
        true, false, missed, seen = (sum(column) for column in zip(*results, strict=True))
        union, clean = true + false + missed, seen - true
        artifact_iou = true / union if union else 0.0
        clean_iou = (clean - false - missed) / clean if clean else 0.0
        mean = (artifact_iou + clean_iou) / 2
        return {"artifact_iou": artifact_iou, "two_class_mean_iou": mean, "tp": true, "fp": false, "fn": missed}


@METRICS.register_module()
class PixelAccuracy(BaseMetric):  # type: ignore[misc]
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
