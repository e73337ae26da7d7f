"""RichHF's heat-map scores, solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detector.score.api import Collector
from detector.score.counts import ScoreError, count_image
from detector.score.heatmaps import HEAT_SCORES
from detector.score.metrics import point_values


def scores(truth, prediction, soft=None) -> dict[str, float]:
    heat = None if soft is None else np.array([soft], np.float64)
    image = count_image("a", np.array([truth], np.uint8), np.array([prediction], np.float64), 0.5, heat)
    return dict(zip(HEAT_SCORES, image.heat.tolist(), strict=True))


def test_four_pixels_by_hand():
    found = scores([1, 1, 0, 0], [0.8, 0.4, 0.4, 0.0])
    # P / sum = .5 .25 .25 0, Q / sum = .5 .5 0 0
    assert found["mse"] == pytest.approx((0.04 + 0.36 + 0.16 + 0) / 4)
    assert found["kld"] == pytest.approx(0.5 * math.log(1) + 0.5 * math.log(2))
    assert found["sim"] == pytest.approx(0.75)
    # mean .4, deviations .4 0 0 -.4, s = sqrt(.08); truth's deviations are half, s = .5
    assert found["cc"] == pytest.approx((0.4 * 0.5 + 0.4 * 0.5) / 4 / (math.sqrt(0.08) * 0.5))
    assert found["nss"] == pytest.approx((0.4 + 0.0) / 2 / math.sqrt(0.08))
    # Thresholds .8 and .4: (fpr, tpr) = (0, .5), (.5, 1), (1, 1)
    assert found["auc_judd"] == pytest.approx(0.5 * (0.5 + 1) / 2 + 0.5)


def test_judd_takes_thresholds_from_artifact_pixels_only():
    # Full ROC area is 0.5 (one of two clean pixels above); Judd joins (0, 0) with (.5, 1), then (1, 1).
    assert scores([1, 0, 0], [0.5, 0.9, 0.1])["auc_judd"] == pytest.approx(0.5 * 0.5 + 0.5)


def test_a_perfect_map():
    found = scores([1, 0, 0, 0], [1, 0, 0, 0])
    assert [found[name] for name in ("mse", "kld", "cc", "sim", "auc_judd")] == pytest.approx([0, 0, 1, 1, 1])
    assert found["nss"] == pytest.approx(0.75 / math.sqrt(3 / 16))


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_map_gets_what_chance_gets(level):
    found = scores([1, 0, 0, 0], [level] * 4)
    assert found["kld"] == pytest.approx(math.log(4))
    assert found["sim"] == pytest.approx(0.25)
    assert (found["cc"], found["nss"], found["auc_judd"]) == (0, 0, 0.5)


def test_empty_truth_has_only_an_error():
    found = scores([0, 0], [0.5, 0.0])
    assert found["mse"] == pytest.approx(0.125)
    assert all(math.isnan(found[name]) for name in HEAT_SCORES[1:])


def test_truth_without_clean_pixels_has_no_ranking():
    found = scores([1, 1], [0.5, 1.0])
    assert math.isnan(found["cc"])
    assert math.isnan(found["auc_judd"])
    assert found["sim"] == pytest.approx(1 / 3 + 0.5)


def test_soft_truth_changes_the_maps_but_not_the_pixels_looked_at():
    found = scores([1, 0, 0, 255], [0.5, 0.5, 0.0, 1.0], [0.75, 0.25, 0.0, 1.0])
    assert found["mse"] == pytest.approx((0.0625 + 0.0625) / 3)
    assert found["sim"] == pytest.approx(0.75)
    assert found["nss"] == pytest.approx((0.5 - 1 / 3) / np.std([0.5, 0.5, 0.0]))


def test_mse_is_split_by_empty_truth():
    collector = Collector()
    collector.add("a", np.array([[1, 0]], np.uint8), np.array([[0.5, 0.0]]))
    collector.add("b", np.array([[0, 0]], np.uint8), np.array([[0.1, 0.1]]))
    found = point_values(collector.counts())
    assert found["heat_mse_nonempty"] == pytest.approx(0.125)
    assert found["heat_mse_empty"] == pytest.approx(0.01)
    assert found["heat_mse"] == pytest.approx((0.125 + 0.01) / 2)


def test_soft_truth_for_some_images_only_is_refused():
    truth, heat = np.array([[1, 0]], np.uint8), np.array([[0.5, 0.0]])
    collector = Collector()
    collector.add("a", truth, heat, heat)
    assert collector.counts().soft_truth
    collector.add("b", truth, heat)
    with pytest.raises(ScoreError, match="1 of 2 images have a truth heat map"):
        collector.counts()
    with pytest.raises(ScoreError, match="truth heat holds values"):
        collector.add("c", truth, heat, heat * 3)
