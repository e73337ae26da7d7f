"""Counts of small cases solved by hand."""

from __future__ import annotations

import pytest
import torch

from detector import registry  # noqa: F401
from detector.metric import ArtifactIoU, PixelAccuracy, confusion


def test_four_pixels():
    predicted, truth = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[1, 0], [1, 0]])
    assert confusion(predicted, truth) == (1, 1, 1)


def test_ignored_pixels_do_not_count():
    predicted, truth = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[255, 0], [255, 1]])
    assert confusion(predicted, truth) == (0, 1, 1)


def test_the_ratio_is_taken_once_over_all_pictures():
    found = ArtifactIoU().compute_metrics([(1, 1, 0, 4), (3, 0, 5, 12)])
    # Clean class: 16 seen pixels, of which 6 are clean in both, 1 in truth alone, 5 in the prediction alone.
    mean = (4 / 10 + 6 / 12) / 2
    assert found == {"artifact_iou": 4 / 10, "two_class_mean_iou": mean, "tp": 4, "fp": 1, "fn": 5}
    assert ArtifactIoU().compute_metrics([(0, 0, 0, 9)])["artifact_iou"] == 0.0


def test_pixel_accuracy_of_three_classes():
    metric = PixelAccuracy()
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    truth, predicted = torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 1, 1, 2]])
    metric.process(None, [{"pred_sem_seg": {"data": predicted}, "gt_sem_seg": {"data": truth}}])
    scores = metric.compute_metrics(metric.results)
    assert scores["pixel_accuracy"] == pytest.approx(2 / 3)
    assert scores["mean_class_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # class c never occurs in the truth
