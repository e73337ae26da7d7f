"""Tau and regions from heat maps, solved by hand."""

from __future__ import annotations

import numpy as np
import pytest

from region_select.limits import Limits
from region_select.selector import Selector, Tuning, hottest, propose
from region_select.tau import NUM_BINS, Tally, best_iou, match_area
from shards.errors import ConfigError


def heat_of(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_counts_agree_with_the_cut_at_every_edge():
    rng = np.random.default_rng(0)
    edges = np.arange(NUM_BINS, dtype=np.float32) / np.float32(NUM_BINS)
    heat = np.concatenate([edges, np.nextafter(edges, np.float32(2)), np.nextafter(edges[1:], np.float32(-1))])
    heat = np.concatenate([heat, rng.random(801, np.float32), np.ones(1, np.float32)])[None]
    tally = Tally()
    tally.add(heat)
    for k in (1, 2, 7, 2048, 4000, 4095):
        assert tally.areas()[k] == pytest.approx(float((heat >= np.float32(k / NUM_BINS)).mean()), abs=1e-12)


def test_four_pixels_by_hand():
    tally = Tally()
    tally.add(heat_of([0.9, 0.6], [0.4, 0.1]), np.array([[1, 0], [1, 0]], np.uint8))
    # tau 0.5 selects one true and one false pixel; the third, true, is missed.
    assert tally.areas()[NUM_BINS // 2] == 0.5
    assert tally.ious()[NUM_BINS // 2] == pytest.approx(1 / 3)
    assert tally.mean_truth_area == 0.5
    # Three pixels from 0.4 down to above 0.1: two of the three are true. The highest such cut lies just below 0.4.
    assert best_iou(tally) == np.floor(0.4 * NUM_BINS) / NUM_BINS
    assert match_area(tally, 0.25) == np.floor(0.9 * NUM_BINS) / NUM_BINS
    assert match_area(tally, 1.0) == np.floor(0.1 * NUM_BINS) / NUM_BINS


def test_areas_are_means_over_pictures_not_pixels():
    tally = Tally()
    tally.add(heat_of([0.9, 0.9]))
    tally.add(np.full((10, 10), 0.1, np.float32))
    assert tally.areas()[NUM_BINS // 2] == 0.5


def test_ignored_pixels_count_nowhere():
    tally = Tally()
    tally.add(heat_of([0.9, 0.9], [0.1, 0.1]), np.array([[1, 255], [0, 255]], np.uint8))
    assert tally.ious()[NUM_BINS // 2] == 1.0
    assert tally.areas()[NUM_BINS // 2] == 0.5
    assert int((tally.artifact + tally.clean).sum()) == 2


def test_a_region_is_where_tau_is_reached():
    heat = heat_of([0.5, 0.49], [0.2, 0.9])
    found = propose(heat, 0.5)
    assert found.mask.tolist() == [[1, 0], [0, 1]]
    assert found.facts == {"tau": 0.5, "peak": 0.9, "fallback": False}
    nothing = propose(heat, 0.95)
    assert nothing.mask is None
    assert "nothing reaches tau 0.95 (highest 0.9)" in nothing.detail
    small = propose(heat, 0.6, Limits(min_area=0.5))
    assert small.mask is None
    assert "min_area" in small.detail


def test_the_fallback_takes_the_hottest_pixels():
    heat = heat_of([0.3, 0.1, 0.3], [0.2, 0.3, 0.0])
    assert hottest(heat, 2 / 6).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert hottest(heat, 1e-9).sum() == 1
    found = propose(heat, 0.5, fallback_area=0.5)
    assert found.mask.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert found.facts["fallback"] is True
    assert propose(heat, 0.25, fallback_area=0.01).facts["fallback"] is False
    barred = propose(heat, 0.5, Limits(min_area=0.9), fallback_area=0.5)
    assert barred.mask is None
    assert barred.facts["fallback"] is False
    assert "of the hottest pixels" in barred.detail


def test_named_taus_and_fallback_area_come_from_the_tuning():
    tuned = Selector(None, "", Tuning(num_labels=100, label_area=0.07, taus={"match_area": 0.25}))
    assert tuned.tau("match_area") == 0.25
    assert tuned.tau(0.4) == 0.4
    assert (tuned.fallback_area("hottest"), tuned.fallback_area("hottest", 0.1)) == (0.07, 0.1)
    assert tuned.fallback_area("none", 0.1) == 0.0
    plain = Selector(None, "")
    with pytest.raises(ConfigError, match="train with --val"):
        plain.tau("match_area")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        plain.tau(1.0)
    with pytest.raises(ConfigError, match="fallback_area"):
        plain.fallback_area("hottest")
