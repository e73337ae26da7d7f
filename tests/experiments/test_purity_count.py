"""The counts of label purity, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from corruptor.config import VerificationConfig
from experiments.purity.count import (
    Component,
    Row,
    auroc,
    best_threshold,
    bootstrap,
    calibrate,
    confusion,
    far_from,
    faults_in,
    halves,
    purity,
)
from experiments.purity.labels import count_labels, label_figures, rules_of
from experiments.purity.report import purity_of


def mask_of(*rows: str) -> np.ndarray[Any, Any]:
    return np.array([[mark == "#" for mark in row] for row in rows], np.uint8)


def row_of(image: int, *parts: tuple[float, bool], outside: int = 0, setting: str = "noised, step 40") -> Row:
    """Components of 10 pixels as (score, fault); a fault has 4 pixels."""
    found = tuple(Component(10, fault, 4 * fault, {"mean_abs": score}) for score, fault in parts)
    return Row(image, setting, outside + sum(one.fault_pixels for one in found), 0, 6.0, 1.0, found)


def test_a_fault_lies_in_a_component_when_they_share_a_quarter_of_the_smaller():
    mask = mask_of("####....", "####....", "........", "......##", "......##")
    fault = mask_of("...#####", "...#####", "........", "........", "........")
    # 2 of 8 pixels are a quarter; the component at the lower right is untouched.
    assert faults_in(mask, fault) == [(8, 2, True), (4, 0, False)]
    fault[:2, 3] = (0, 1)
    assert faults_in(mask, fault)[0] == (8, 1, False)


def test_a_small_fault_in_a_large_component_counts_and_one_beside_it_does_not():
    mask = np.zeros((16, 16), np.uint8)
    mask[2:10, 2:10] = 1
    fault = np.zeros_like(mask)
    fault[4:6, 4:6] = 1
    assert faults_in(mask, fault) == [(64, 4, True)]
    assert faults_in(mask, np.roll(fault, 7, axis=1)) == [(64, 0, False)]
    assert faults_in(np.zeros_like(mask), fault) == []


def test_labels_pixel_by_pixel():
    trip = np.full((8, 8, 3), 100, np.uint8)
    made = trip.copy()
    made[0:4, 0:4] += 60
    mask, fault = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    mask[0:4, 0:8] = 1
    fault[0:4, 0:5] = 1
    own = VerificationConfig(policy="drop", threshold=30.0, pixel_threshold=20.0)
    found = count_labels(made, trip, mask, fault, 1, own)
    # The component changed by 60 on half of it: 30 on average.
    assert found["drop below 30"] == (20, 12, 0)
    assert found["drop below 30, tighten to pixels above 20"] == (16, 0, 4)
    assert rules_of(VerificationConfig(metric="changed_share", threshold=0.5)).keys() < found.keys() | {
        f"drop below {t}, tighten to pixels above 8" for t in (14, 18, 22)
    }
    rows = [Row(0, "a", 20, 0, 1.0, 1.0, (), {"r": (16, 4, 4)}), Row(1, "a", 5, 0, 1.0, 1.0, (), {"r": (0, 0, 5)})]
    [told] = label_figures(rows, 10)
    assert (told["pictures_left"]["hits"], told["pixels_a_label"]) == (1, 20.0)
    assert [told[name]["share"] for name in ("precision", "recall", "iou")] == [0.8, 0.8, 16 / 24]


def test_far_faults_are_beyond_one_cell_in_every_direction():
    mask, fault = np.zeros((12, 12), np.uint8), np.zeros((12, 12), np.uint8)
    mask[5, 5] = 1
    fault[[5, 9, 9, 5], [5, 9, 5, 10]] = 1
    assert far_from(mask, fault, 4) == 1


def test_auroc_by_hand_ties_count_half():
    labels = np.array([False, False, True, True])
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), labels) == 1.0
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), labels) == 0.0
    assert auroc(np.ones(4), labels) == 0.5
    assert auroc(np.array([1.0, 2.0, 2.0, 3.0]), labels) == (1 + 1 + 0.5 + 1) / 4
    assert math.isnan(auroc(np.ones(2), np.array([True, True])))


def test_the_best_threshold_lies_between_the_kinds():
    scores = np.array([1.0, 2.0, 4.0, 8.0])
    assert best_threshold(scores, np.array([False, False, True, True])) == (3.0, 1.0)
    # One clean component scores above a faulty one: passing both beats passing neither.
    threshold, balanced = best_threshold(np.array([1.0, 2.0, 4.0, 5.0, 6.0]), np.array([0, 0, 1, 0, 1], bool))
    assert (threshold, balanced) == (3.0, pytest.approx((1 + 2 / 3) / 2))
    assert all(map(math.isnan, best_threshold(scores, np.ones(4, bool))))


def test_the_best_threshold_is_the_best_of_all_thresholds():
    rng = np.random.default_rng(5)
    for _ in range(20):
        labels = rng.random(40) < 0.4
        scores = np.round(rng.normal(labels * 1.0, 1.0), 1)
        threshold, balanced = best_threshold(scores, labels)
        each = [confusion(scores, labels, t)["balanced_accuracy"] for t in np.arange(-5, 5, 0.05)]
        assert balanced == pytest.approx(confusion(scores, labels, threshold)["balanced_accuracy"])
        assert balanced >= max(each) - 1e-9


def test_confusion_by_hand():
    got = confusion(np.array([1.0, 5.0, 5.0, 2.0]), np.array([True, True, False, False]), 5.0)
    assert [got[name]["share"] for name in ("precision", "recall", "specificity")] == [0.5, 0.5, 0.5]
    assert got["balanced_accuracy"] == 0.5


def test_bootstrap_draws_whole_images():
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    # Two images: a draw is one of them twice, or both.
    low, high = bootstrap(lambda k: float(values[k].mean()), np.array([0, 0, 0, 1, 1, 1]))
    assert (low, high) == (0.0, 1.0)
    assert bootstrap(lambda k: 3.0, np.arange(4)) == (3.0, 3.0)
    assert all(map(math.isnan, bootstrap(lambda k: math.nan, np.arange(4))))


def test_calibration_reads_score_and_fault_of_every_component():
    rows = [row_of(0, (1.0, False), (9.0, True)), row_of(1, (3.0, False)), row_of(2, (7.0, True))]
    got = calibrate(rows, "mean_abs", rounds=20)
    assert (got["components"], got["with_fault"], got["auroc"], got["threshold"]) == (4, 2, 1.0, 5.0)
    assert got["precision"]["share"] == got["recall"]["share"] == 1.0


def test_no_picture_judges_itself():
    rows = [row_of(0, (1.0, False), (3.0, True)), row_of(1, (10.0, False), (30.0, True))]
    assert halves(rows, "mean_abs") == {0: 20.0, 1: 2.0}
    assert all(map(math.isnan, halves([row_of(0, (1.0, False))], "mean_abs").values()))


def test_purity_by_hand():
    rows = [row_of(0, (9.0, True), (1.0, False), outside=6), row_of(1, (1.0, True), outside=2)]
    everything = purity(rows, lambda row, one: True, rounds=20)
    assert everything["with_fault"]["hits"] == 2
    assert everything["with_fault"]["of"] == 3
    assert (everything["leak"]["hits"], everything["leak"]["of"]) == (8, 16)
    assert everything["dropped"]["hits"] == 0
    # The second picture loses its only component and is no sample; its faults leak nowhere.
    after = purity(rows, lambda row, one: one.scores["mean_abs"] >= 5, rounds=20)
    assert (after["with_fault"]["hits"], after["with_fault"]["of"]) == (1, 1)
    assert (after["dropped"]["hits"], after["dropped"]["of"]) == (2, 3)
    assert (after["pictures_left"]["hits"], after["pictures_left"]["of"]) == (1, 2)
    assert (after["leak"]["hits"], after["leak"]["of"]) == (6, 10)
    assert (after["mask_pixels_faulty"]["hits"], after["mask_pixels_faulty"]["of"]) == (4, 10)


def test_a_dropped_component_s_fault_leaks_where_its_picture_stays():
    row = row_of(0, (9.0, True), (1.0, True))
    after = purity([row], lambda _, one: one.scores["mean_abs"] >= 5, rounds=20)
    assert (after["leak"]["hits"], after["leak"]["of"]) == (4, 8)


def test_the_calibrated_drop_uses_the_other_half():
    rows = [row_of(0, (5.0, True)), row_of(1, (5.0, True))]
    got = purity_of(rows, "mean_abs", 1.0, {0: 9.0, 1: 2.0})
    assert got["dropped"]["components"] == 2
    assert got["dropped_calibrated"]["components"] == 1
    assert purity_of(rows, "mean_abs", 1.0, {0: math.nan, 1: 2.0})["dropped_calibrated"] == {}


def test_rows_survive_json():
    row = row_of(3, (1.5, True), (2.5, False), outside=7)
    assert Row.from_dict(json.loads(json.dumps(row.to_dict()))) == row
