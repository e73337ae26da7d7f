"""Counts of small cases solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detector import registry  # noqa: F401
from detector.metric import ArtifactIoU, PixelAccuracy, confusion
from detector.score.api import point_values, score_pairs
from shards.masks import ARTIFACT


def test_four_pixels():
    predicted, truth = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[1, 0], [1, 0]])
    assert confusion(predicted, truth) == (1, 1, 1)


def test_ignored_pixels_do_not_count():
    predicted, truth = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[255, 0], [255, 1]])
    assert confusion(predicted, truth) == (0, 1, 1)


def test_the_ratio_is_taken_once_over_all_pictures():
    first, second = np.zeros((2, 2, 256), np.int64)
    first[0, [10, 200]], first[1, 200] = (2, 1), 1
    second[0, 0], second[1, [5, 40, 250]] = 4, (3, 2, 3)
    found = ArtifactIoU().compute_metrics([(1, 1, 0, 4, first), (3, 0, 5, 12, second)])
    # Clean class: 16 seen pixels, of which 6 are clean in both, 1 in truth alone, 5 in the prediction alone.
    mean = (4 / 10 + 6 / 12) / 2
    # From bin 5 up: all 9 artifact pixels and 3 clean ones, 9 / 12; from bin 40 up: 6 / (1 + 9).
    ious = {"artifact_iou": 4 / 10, "two_class_mean_iou": mean, "best_artifact_iou": 9 / 12}
    assert found == {**ious, "tp": 4, "fp": 1, "fn": 5}
    nothing = ArtifactIoU().compute_metrics([(0, 0, 0, 9, np.zeros((2, 256), np.int64))])
    assert nothing["artifact_iou"] == nothing["best_artifact_iou"] == 0.0


def test_the_best_threshold_is_the_scorers():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 2, 16, 16) * 3, torch.randint(0, 2, (2, 1, 16, 16))
    truth[:, :, :3] = 255
    metric = ArtifactIoU()
    for one, real in zip(logits, truth, strict=True):
        said = {"data": one.argmax(0, keepdim=True)}
        sample = {"pred_sem_seg": said, "seg_logits": {"data": one}, "gt_sem_seg": {"data": real}}
        metric.process(None, [sample])
    found = metric.compute_metrics(metric.results)
    heats = logits.softmax(1)[:, ARTIFACT].numpy()
    masks = truth[:, 0].numpy().astype(np.uint8)
    counts = score_pairs((f"{i}", mask, heat) for i, (mask, heat) in enumerate(zip(masks, heats, strict=True)))
    values = point_values(counts)
    assert found["best_artifact_iou"] == pytest.approx(values["oracle_threshold_iou"], abs=1e-12)
    assert found["artifact_iou"] == pytest.approx(values["artifact_iou"], abs=1e-12)
    assert found["best_artifact_iou"] > found["artifact_iou"]


def test_pixel_accuracy_of_three_classes():
    metric = PixelAccuracy()
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    truth, predicted = torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 1, 1, 2]])
    metric.process(None, [{"pred_sem_seg": {"data": predicted}, "gt_sem_seg": {"data": truth}}])
    scores = metric.compute_metrics(metric.results)
    assert scores["pixel_accuracy"] == pytest.approx(2 / 3)
    assert scores["mean_class_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # class c never occurs in the truth
