"""Counts and metrics against four-pixel cases solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detector.score.api import Collector, score_pairs
from detector.score.counts import COLUMNS, ScoreError, count_image
from detector.score.eval_size import bring
from detector.score.metrics import METRICS, best_threshold, point_values

NAN = float("nan")


def row(*numbers: float, dtype: type = np.float32) -> np.ndarray:
    return np.array([numbers], dtype)


def mask(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.uint8)


def numbers_of(image) -> dict[str, int]:
    return dict(zip(COLUMNS, image.numbers.tolist(), strict=True))


def test_ignored_pixels_enter_nothing():
    truth = mask(1, 1, 0, 0, 255, 255)
    image = count_image("a", truth, row(0.9, 0.1, 0.8, 0.2, 1.0, 0.0), 0.5)
    expected = {"height": 1, "width": 6, "ignored": 2, "tp": 1, "fp": 1, "fn": 1, "tn": 1, "empty_heat": 0}
    assert numbers_of(image) == expected
    assert image.histogram.sum() == 4
    assert image.histogram[1, [230, 26]].tolist() == [1, 1]  # round(229.5) and round(25.5) go to the even neighbour
    assert image.max_score == pytest.approx(0.9)
    other = count_image("a", truth, row(0.9, 0.1, 0.8, 0.2, 0.3, 0.7), 0.5)
    assert np.array_equal(other.heat, image.heat)
    assert np.array_equal(other.histogram, image.histogram)


def test_scores_at_the_threshold_are_artifacts():
    assert numbers_of(count_image("a", mask(1, 0), row(0.5, 0.49), 0.5))["tp"] == 1
    assert numbers_of(count_image("a", mask(1, 0), row(0.5, 0.5), 0.5))["fp"] == 1
    # The stored eight bits decide the same way at one half: 128 / 255 is above, 127 / 255 below.
    assert numbers_of(count_image("a", mask(1, 0), row(128 / 255, 127 / 255), 0.5))["tn"] == 1


def two_images() -> list:
    """Image a: tp 1, fp 1, fn 1, tn 1. Image b (clean): fp 1, tn 3."""
    return [
        ("a", mask(1, 1, 0, 0), row(0.9, 0.2, 0.6, 0.0)),
        ("b", mask(0, 0, 0, 0), row(0.7, 0.0, 0.0, 0.0)),
    ]


def test_metrics_of_two_images_by_hand():
    found = point_values(score_pairs(two_images()))
    # Sums: tp 1, fp 2, fn 1, tn 4.
    assert found["artifact_iou"] == pytest.approx(1 / 4)
    assert found["two_class_mean_iou"] == pytest.approx((1 / 4 + 4 / 7) / 2)
    assert found["artifact_iou_per_image"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == pytest.approx(1 / 2)
    assert found["f1"] == pytest.approx(2 * 1 / (2 + 2 + 1))
    # Falling scores: 0.9 (+), 0.7 (-), 0.6 (-), 0.2 (+), then four clean zeros.
    assert found["oracle_threshold_iou"] == pytest.approx(1 / 2)  # either 1 / 2 at 0.9 or 2 / 4 at 0.2
    assert found["pixel_ap"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert found["pixel_auroc"] == pytest.approx((6 + 4) / 12)  # 0.9 beats all six clean, 0.2 the four zeros
    assert found["image_auroc_max"] == 1.0  # 0.9 over 0.7
    assert found["image_auroc_par"] == 1.0  # 2 / 4 over 1 / 4
    assert found["fpr_clean"] == 1.0
    assert found["apaa_clean"] == pytest.approx(1 / 4)


def test_precision_inside_a_bin_that_holds_several_scores():
    # 1.0 (+) stands alone; 0.501 (+) and 0.5015 (-) share a bin. Evenly mixed, precision there is
    # (1 + s) / (1 + 2 s), whose mean over s = 0..1 is 1/2 + log(3) / 4.
    pair = ("a", mask(1, 1, 0, 0), row(1.0, 0.501, 0.5015, 0.0))
    assert point_values(score_pairs([pair]))["pixel_ap"] == pytest.approx(0.5 + 0.5 * (0.5 + math.log(3) / 4))
    # In two images the bin is one all the same; with one score in common it is a tie: precision 2 / 3.
    apart = [("a", mask(1, 1), row(1.0, 0.501)), ("b", mask(0, 0), row(0.5015, 0.0))]
    assert point_values(score_pairs(apart))["pixel_ap"] == pytest.approx(0.5 + 0.5 * (0.5 + math.log(3) / 4))
    tie = ("a", mask(1, 1, 0, 0), row(1.0, 0.501, 0.501, 0.0))
    assert point_values(score_pairs([tie]))["pixel_ap"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_calibration_by_hand():
    # Bins of width 1/15: 0.2 -> level 51, bin 3; 0.6 -> 153, bin 9; 1.0 -> bin 14.
    pair = ("a", mask(1, 0, 0, 1), row(0.2, 0.2, 0.6, 1.0))
    expected = (2 * abs(0.2 - 0.5) + 1 * abs(0.6 - 0) + 1 * abs(1 - 1)) / 4
    assert point_values(score_pairs([pair]))["ece"] == pytest.approx(expected)


def test_oracle_threshold_is_the_edge_below_the_best_bin():
    counts = score_pairs([("a", mask(1, 1, 0, 0), row(1.0, 0.8, 0.4, 0.0))])
    assert point_values(counts)["oracle_threshold_iou"] == 1.0
    threshold = best_threshold(counts)
    assert threshold == pytest.approx((103 - 0.5) / 255)  # 0.4 is level 102: the lowest edge that leaves it out
    again = score_pairs([("a", mask(1, 1, 0, 0), row(1.0, 0.8, 0.4, 0.0))], threshold)
    assert point_values(again)["artifact_iou"] == 1.0


def test_empty_against_empty_is_one_and_an_ignored_image_is_left_out():
    pairs = [
        ("artifact", mask(1, 0), row(1.0, 0.0)),
        ("missed", mask(1, 0), row(0.0, 0.0)),
        ("empty", mask(0, 0), row(0.0, 0.0)),
        ("ignored", mask(255, 255), row(1.0, 1.0)),
    ]
    counts = score_pairs(pairs)
    found = point_values(counts)
    assert found["artifact_iou_per_image"] == pytest.approx((1 + 0 + 1) / 3)
    assert found["fpr_clean"] == 0.0
    assert found["heat_mse"] == pytest.approx((0 + 0.5 + 0) / 3)
    assert counts.keys == ("artifact", "empty", "ignored", "missed")


def test_without_artifacts_artifact_metrics_are_not_zero_but_undefined():
    found = point_values(score_pairs([("a", mask(0, 0), row(0.9, 0.1)), ("b", mask(0, 0), row(0.0, 0.1))]))
    defined = {key for key, value in found.items() if not math.isnan(value)}
    assert defined == {"ece", "fpr_clean", "apaa_clean", "heat_mse", "heat_mse_empty"}
    assert found["fpr_clean"] == 0.5
    assert found["apaa_clean"] == 0.25


def test_masks_have_no_score_metrics():
    pairs = [("a", mask(1, 1, 0, 0), mask(1, 0, 1, 0)), ("b", mask(0, 0, 0, 0), mask(0, 0, 0, 0).astype(bool))]
    counts = score_pairs(pairs)
    found = point_values(counts)
    needs_scores = {metric.key for metric in METRICS if "scores" in metric.needs}
    assert {key for key, value in found.items() if math.isnan(value)} == needs_scores
    assert found["artifact_iou"] == pytest.approx(1 / 3)
    assert found["image_auroc_par"] == 1.0
    assert counts.histograms is None


def test_precision_is_undefined_where_nothing_is_predicted():
    found = point_values(score_pairs([("a", mask(1, 0), mask(0, 0))]))
    assert math.isnan(found["precision"])
    assert (found["recall"], found["f1"], found["artifact_iou"]) == (0, 0, 0)


def test_ties_in_image_scores_count_half():
    pairs = [("a", mask(1, 0), row(0.5, 0.0)), ("b", mask(0, 0), row(0.5, 0.0)), ("c", mask(0, 0), row(0.1, 0.0))]
    assert point_values(score_pairs(pairs))["image_auroc_max"] == pytest.approx((0.5 + 1) / 2)


def test_order_does_not_matter():
    forth, back = score_pairs(two_images()), score_pairs(reversed(two_images()))
    assert forth.keys == back.keys
    assert np.array_equal(forth.histograms, back.histograms)


def test_memory_of_an_image_is_at_most_4_kb():
    rng = np.random.default_rng(0)
    image = count_image("a", (rng.random((512, 512)) < 0.1).astype(np.uint8), rng.random((512, 512), np.float32))
    assert image.histogram.nbytes + image.levels.nbytes + image.numbers.nbytes + image.heat.nbytes <= 4096


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (row(0.1, NAN), "finite and within 0..1"),
        (row(0.1, 1.5), r"0.1..1.5; scores are finite"),
        (row(-0.1, 1.0), "within 0..1"),
        (mask(0, 255), "a mask holds 0 and 1, got the value 255"),
        (np.zeros((1, 2), np.int64), "dtype int64"),
        (np.zeros((1, 2, 1), np.float32), r"shape \(1, 2, 1\)"),
    ],
)
def test_bad_predictions_are_refused(prediction, message):
    with pytest.raises(ScoreError, match=message):
        score_pairs([("a", mask(1, 0), prediction)])


def test_bad_sets_are_refused():
    pair = ("a", mask(1, 0), row(1.0, 0.0))
    with pytest.raises(ScoreError, match="nothing to score"):
        score_pairs([])
    with pytest.raises(ScoreError, match="key a occurs twice"):
        score_pairs([pair, pair])
    with pytest.raises(ScoreError, match="1 of 2 predictions are masks"):
        score_pairs([pair, ("b", mask(1, 0), mask(1, 0))])
    with pytest.raises(ScoreError, match="truth: mask in memory holds the values"):
        score_pairs([("a", mask(1, 128), row(1.0, 0.0))])
    with pytest.raises(ScoreError, match="threshold is 0; allowed"):
        Collector(threshold=0)
    with pytest.raises(ScoreError, match="meet is '0'"):
        Collector(meet="0")


def test_the_prediction_comes_to_the_size_of_the_truth():
    truth = np.zeros((4, 4), np.uint8)
    truth[:2, :2] = 1
    counts = score_pairs([("a", truth, np.array([[1, 0], [0, 0]], np.uint8))])
    assert (point_values(counts)["artifact_iou"], counts.resized, counts.stretched) == (1.0, 1, 0)
    wide = score_pairs([("a", np.repeat(truth, 2, axis=1), np.array([[1, 0], [0, 0]], np.uint8))])
    assert (point_values(wide)["artifact_iou"], wide.resized, wide.stretched) == (1.0, 1, 1)
    with pytest.raises(ScoreError, match="prediction is 2x2, truth 4x4"):
        score_pairs([("a", truth, np.zeros((2, 2), np.uint8))], meet="same")


def test_both_come_to_a_fixed_size():
    truth = np.repeat(mask(1, 255, 0, 0), 2, axis=0)
    counts = score_pairs([("a", truth, np.repeat(row(1.0, 1.0, 0.0, 0.0), 2, axis=0))], meet="4")
    assert counts.numbers[0].tolist() == [4, 4, 4, 4, 0, 0, 8, 0]


def test_scores_are_resized_bilinearly_and_masks_to_the_nearest():
    doubled = bring(row(0.0, 1.0), (1, 4))
    assert doubled == pytest.approx(row(0.0, 0.25, 0.75, 1.0))
    assert bring(row(0.0, 1.0, 1.0, 1.0), (1, 2))[0, 0] < 0.6  # averages where it shrinks
    assert bring(mask(0, 1, 255, 0), (1, 8)).tolist() == [[0, 0, 1, 1, 255, 255, 0, 0]]
