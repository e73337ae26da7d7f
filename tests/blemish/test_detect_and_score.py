"""`Detector`, `score` and `open_run` on what ships and on small arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import blemish


@pytest.fixture(scope="module")
def detector() -> blemish.Detector:
    return blemish.Detector.from_pretrained(device="cpu", batch_size=2)


def test_a_detector_gives_heat_masks_and_shares(detector: blemish.Detector, picture: Any):
    given = [picture, Image.fromarray(picture[:16]), torch.from_numpy(picture).permute(2, 0, 1)]
    seen = detector(given, threshold=0.01)
    assert len(seen) == 3
    for heat, mask, par, one in zip(seen.heat, seen.masks, seen.par, (picture, picture[:16], picture), strict=True):
        assert (heat.dtype, heat.shape, mask.dtype) == (np.float32, one.shape[:2], np.uint8)
        assert 0.0 <= heat.min() <= heat.max() <= 1.0
        assert np.array_equal(mask, heat >= np.float32(0.01))
        assert par == pytest.approx(mask.mean())
    assert np.allclose(seen.heat[0], seen.heat[2], atol=1e-6)
    assert "3 pictures" in str(seen)
    with pytest.raises(ValueError, match="threshold is 2"):
        detector(picture, threshold=2)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        blemish.Detector.from_pretrained("nothing.safetensors")


def test_score_counts_by_hand():
    truth = np.array([[0, 0, 1, 1], [0, 0, 255, 1]], np.uint8)
    heat = np.array([[0.1, 0.9, 0.9, 0.2], [0.0, 0.0, 0.9, 0.7]])
    found = blemish.score(heat, truth, resamples=0)
    # tp 2, fp 1, fn 1: the ignored pixel counts nowhere.
    assert found["artifact_iou"] == pytest.approx(2 / 4)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["fpr_clean"] is None
    assert "artifact IoU (data set), %" in str(found)
    assert "50.00" in str(found)
    mask = blemish.score(heat >= 0.5, truth, resamples=0)
    assert mask["artifact_iou"] == found["artifact_iou"]
    assert mask["pixel_ap"] is None
    with pytest.raises(KeyError):
        found["miou"]


def test_score_takes_many_and_gives_intervals():
    truth = np.zeros((4, 6, 6), np.uint8)
    truth[:2, 2:4, 2:4] = 1
    found = blemish.score(torch.from_numpy(truth).float() * 0.9, list(truth), resamples=50)
    assert found["artifact_iou"] == 1.0
    assert found.metrics["artifact_iou"].resamples > 40
    assert found["image_auroc_max"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "truth", "options", "message"),
    [
        (np.zeros((2, 2)), np.array([[0, 255], [0, 0]], np.uint8), {}, "255 may mean artifact or ignore"),
        (np.zeros((2, 2)), [np.zeros((2, 2), np.uint8)] * 2, {}, "1 predictions for 2 truth masks"),
        (np.full((2, 2), 3.0), np.zeros((2, 2), np.uint8), {}, "scores are finite and within 0..1"),
        (np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), {}, "a mask holds 0 and 1"),
        (np.zeros((2, 2)), np.zeros((2, 2), np.uint8), {"threshold": 0}, "threshold is 0"),
        (np.zeros((2, 2)), np.zeros((2, 2), np.uint8), {"resamples": -1}, "resamples is -1"),
    ],
)
def test_what_cannot_be_scored_is_one_line(predictions: Any, truth: Any, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        blemish.score(predictions, truth, **options)


def test_truth_of_0_and_255_when_it_is_said():
    truth = np.array([[0, 255]], np.uint8)
    assert blemish.score(np.array([[0.0, 1.0]]), truth, truth_values="0255", resamples=0)["artifact_iou"] == 1.0
    assert blemish.score(np.array([[0.0, 1.0]]), truth, truth_values="blemish", resamples=0)["artifact_iou"] is None


def test_open_run(finished_run: Path, run_maker: Any, tmp_path: Path):
    run = blemish.open_run(finished_run)
    assert len(run) == 8
    assert run.is_complete
    assert (run.title, run.licence, run.config) == ("Tiny run", "Apache-2.0", {"seed": 1})
    assert run.totals["samples"] == 8
    assert run[7].mask.max() == 1
    assert len(list(run)) == 8
    assert [(one.uri, one.reason) for one in run.rejects()] == [("0.png", "no_region"), ("1.png", "no_region")]
    assert "8 samples, complete" in str(run)
    run_maker(tmp_path / "open", finalise=False)
    begun = blemish.open_run(tmp_path / "open")
    assert not begun.is_complete
    assert list(begun.rejects()) == []
    with pytest.raises(FileNotFoundError, match=r"has no manifest\.json"):
        blemish.open_run(tmp_path)
