"""Intervals over images, training seeds, paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detector.score import bootstrap
from detector.score.api import compare, point_values, score_pairs, summarise
from detector.score.bootstrap import resample_weights
from detector.score.counts import ScoreError
from detector.score.metrics import METRICS, values


def pairs(num: int = 40, noise: float = 0.3, seed: int = 0, side: int = 8) -> list:
    """Every fourth image is clean; scores lean towards the truth."""
    rng, made = np.random.default_rng(7), np.random.default_rng(seed)
    found = []
    for i in range(num):
        truth = np.zeros((side, side), np.uint8) if i % 4 == 0 else (rng.random((side, side)) < 0.3).astype(np.uint8)
        heat = (0.3 + 0.4 * truth + made.normal(0, noise, truth.shape)).clip(0, 1)
        found.append((f"{i:03d}", truth, heat.astype(np.float32)))
    return found


def test_a_resample_is_the_same_as_scoring_its_images():
    # Exact for 8-bit scores; whether a bin of finer scores holds several is a fact of the whole set.
    made = [(key, truth, np.rint(heat * 255) / np.float32(255)) for key, truth, heat in pairs(9)]
    weights = np.array([[2, 0, 1, 1, 0, 3, 1, 0, 1]])
    picked = [(f"{i}-{j}", *made[i][1:]) for i, times in enumerate(weights[0]) for j in range(times)]
    expected = point_values(score_pairs(picked))
    for key, value in values(score_pairs(made), weights).items():
        assert value[0] == pytest.approx(expected[key], abs=1e-12), key


def test_resamples_depend_on_the_name_and_not_on_chunks(monkeypatch):
    whole = np.concatenate(list(resample_weights(5, 20, "a")))
    assert whole.shape == (20, 5)
    assert (whole.sum(axis=1) == 5).all()
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 15)
    assert len(list(resample_weights(5, 20, "a"))) == 7
    assert np.array_equal(np.concatenate(list(resample_weights(5, 20, "a"))), whole)
    assert not np.array_equal(np.concatenate(list(resample_weights(5, 20, "b"))), whole)


def test_intervals_match_the_theory_of_a_mean():
    # FPR on clean images is a mean of zeros and ones: its bootstrap interval is about +-1.96 sqrt(p (1 - p) / n).
    truth = np.zeros((1, 2), np.uint8)
    made = [(f"{i:03d}", truth, np.full((1, 2), i % 4 == 0, np.uint8)) for i in range(200)]
    found = summarise([score_pairs(made)], 3000)["fpr_clean"]
    half = 1.96 * math.sqrt(0.25 * 0.75 / 200)
    assert found.value == 0.25
    assert found.low == pytest.approx(0.25 - half, abs=0.01)
    assert found.high == pytest.approx(0.25 + half, abs=0.01)


def test_every_metric_lies_in_its_interval_and_repeats():
    first, second = (summarise([score_pairs(pairs())], 300) for _ in range(2))
    assert first == second
    assert list(first) == [metric.key for metric in METRICS]
    for key, one in first.items():
        assert one.low <= one.value <= one.high, key
        assert one.resamples == 300
        assert one.seed_std is None
    assert summarise([score_pairs(pairs())], 300, "other")["pixel_ap"].low != first["pixel_ap"].low


def test_training_seeds_are_averaged():
    results = [score_pairs(pairs(seed=seed)) for seed in (1, 2, 3)]
    each = [point_values(one)["artifact_iou"] for one in results]
    found = summarise(results, 200)["artifact_iou"]
    assert found.value == pytest.approx(np.mean(each))
    assert found.per_seed == pytest.approx(tuple(each))
    assert found.seed_std == pytest.approx(np.std(each, ddof=1))
    assert found.low < found.value < found.high


def test_paired_differences_are_narrower_than_unpaired_ones():
    ours, theirs = [score_pairs(pairs(noise=0.25))], [score_pairs(pairs(noise=0.3))]
    one, other = (summarise(side, 500)["artifact_iou"] for side in (ours, theirs))
    found = compare(ours, theirs, 500)["artifact_iou"]
    assert found.value == pytest.approx(one.value - other.value)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < (one.high - one.low) / 2
    back = compare(theirs, ours, 500)["artifact_iou"]
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_result_does_not_differ_from_itself():
    result = score_pairs(pairs(8))
    for key, one in compare([result], [result, result], 50).items():
        assert (one.value, one.low, one.high) == (0, 0, 0), key


def test_what_was_scored_on_other_images_is_not_compared():
    made = pairs(8)
    result = score_pairs(made)
    with pytest.raises(ScoreError, match="1 images are in only one of two results, first 007"):
        compare([result], [score_pairs(made[:-1])])
    turned = [(key, truth[::-1] if key != "003" else 1 - truth, heat) for key, truth, heat in made]
    with pytest.raises(ScoreError, match="not on the same truth"):
        compare([result], [score_pairs(turned)])
    with pytest.raises(ScoreError, match="not on the same truth or resolution"):
        compare([result], [score_pairs(made, meet="8")])
    with pytest.raises(ScoreError, match=r"scored differently: scores at threshold 0\.5 and scores at 0\.4"):
        summarise([result, score_pairs(made, threshold=0.4)])
    with pytest.raises(ScoreError, match="there is no result"):
        summarise([])


def test_one_image_has_no_interval():
    found = summarise([score_pairs(pairs(2)[1:])], 100)
    assert found["artifact_iou"].value is not None
    assert (found["artifact_iou"].low, found["artifact_iou"].reason) == (None, "no interval: one image")
    assert found["fpr_clean"].value is None
    assert found["fpr_clean"].reason == "no image without artifact pixels"


def test_resamples_without_the_needed_images_are_left_out_and_counted():
    found = summarise([score_pairs(pairs(5))], 400)  # two of five are clean
    lacking = sum(
        int(w[:, [0, 4]].sum() == 0) for w in np.concatenate(list(resample_weights(5, 400, "scores")))[:, None]
    )
    assert 0 < lacking < 100
    assert found["fpr_clean"].resamples == 400 - lacking
    assert found["artifact_iou"].resamples >= 390


def test_one_seed_without_a_figure_makes_the_mean_undefined_and_is_named():
    truth = np.array([[1, 0]], np.uint8)
    some = score_pairs([("a", truth, truth), ("b", truth, truth)])
    none = score_pairs([("a", truth, truth * 0), ("b", truth, truth * 0)])
    found = summarise([some, none], 10)["precision"]
    assert (found.value, found.per_seed) == (None, (1.0, None))
    assert found.reason == "nothing is predicted (training seed 2)"
