"""How well a network segments: rejection means nothing from one that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from shards.masks import IGNORE

MATCHED = 0.5
"""A segment is found where its IoU with the truth is above this; at most one can be (Kirillov et al. 2019)."""


def segments(predicted: torch.Tensor, truth: torch.Tensor, size: int) -> torch.Tensor:
    """int64 [size, size]: pixels by true and predicted label; integer maps of one shape, truth 255 ignored."""
    seen = truth != IGNORE
    pairs = torch.bincount(truth[seen].long() * size + predicted[seen].long(), minlength=size * size)
    return pairs.view(size, size).cpu()


def panoptic_counts(pairs: torch.Tensor) -> torch.Tensor:
    """float64 [size, 4] of one picture: sum of IoUs, found, false and missed segments of each class.

    A class has one segment in a picture: these are no instances.
    """
    there, said, both = pairs.sum(1).double(), pairs.sum(0).double(), pairs.diagonal().double()
    iou = both / (there + said - both).clamp(min=1)
    hit = iou > MATCHED
    return torch.stack([iou * hit, hit.double(), ((said > 0) & ~hit).double(), ((there > 0) & ~hit).double()], 1)


@METRICS.register_module()
class SceneQuality(BaseMetric):
    """Pixel accuracy, accuracy where the truth is no ground (label 0), mean class IoU, and panoptic quality.

    Panoptic quality = sum of IoUs / (found + false / 2 + missed / 2), averaged over the classes that occur.
    """

    default_prefix = "val"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count a batch."""
        size = len(self.dataset_meta["classes"])
        for sample in data_samples:
            pairs = segments(sample["pred_sem_seg"]["data"].cpu(), sample["gt_sem_seg"]["data"].cpu(), size)
            self.results.append((pairs, panoptic_counts(pairs)))

    def compute_metrics(self, results: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float]:
        pairs = torch.stack([one[0] for one in results]).sum(0).double()
        ious, found, false, missed = torch.stack([one[1] for one in results]).sum(0).unbind(1)
        right, union = pairs.diagonal(), pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
        there = pairs.sum(1) > 0
        quality = ious / (found + false / 2 + missed / 2).clamp(min=0.5)
        return {
            "pixel_accuracy": float(right.sum() / pairs.sum().clamp(min=1)),
            "foreground_accuracy": float(right[1:].sum() / pairs[1:].sum().clamp(min=1)),
            "mean_class_iou": float((right[there] / union[there]).mean()),
            "panoptic_quality": float(quality[there].mean()),
        }
