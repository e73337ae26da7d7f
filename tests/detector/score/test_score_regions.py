"""Regions and operating points: cases solved by hand, and against other people's code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from detector.score.api import score_pairs
from detector.score.bootstrap import summarise
from detector.score.counts import ScoreError
from detector.score.counts_io import load_counts, save_counts
from detector.score.metrics import point_values, values
from detector.score.operating import image_tpr, pixel_fpr_at_recall, threshold_for_fpr
from detector.score.regions import aupro, best_matching, count_regions, stack_regions

ONE_RESAMPLE = np.ones((1, 1))


def strip(text: str) -> np.ndarray:
    """ "0110" -> uint8 [1, 4]; "i" is ignored."""
    return np.array([[255 if char == "i" else int(char) for char in text]], np.uint8)


def heat_of(*scores: float) -> np.ndarray:
    return np.array([scores], np.float32)


def test_one_region_found_by_half():
    found = count_regions(strip("110000"), heat_of(0.2, 0.9, 0.8, 0.1, 0.1, 0.7), 0.5)
    assert found.pixels.tolist() == [2]
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.matched.tolist() == [[True, False], [False, False]], "1 of 3 pixels shared: IoU 1/3"
    assert found.region_iou == pytest.approx(1 / 3 / 2), "the second predicted region counts as a match of 0"
    assert found.histograms is not None
    assert found.histograms.sum() == 2
    assert found.histograms[0, 51] == found.histograms[0, 230] == 1


def test_ignored_pixels_belong_to_no_region():
    found = count_regions(strip("1i0100"), np.array([[1, 1, 1, 1, 0, 0]], np.uint8), 0.5)
    assert found.pixels.tolist() == [1, 1]
    assert found.scores.tolist() == [1, 1], "the ignored pixel parts the predicted region in two"
    assert found.matched.tolist() == [[True, True], [True, True]]
    assert found.region_iou == pytest.approx((1 + 1 / 2) / 2)


def test_no_region_anywhere():
    empty = count_regions(strip("0000"), heat_of(0.1, 0.2, 0.3, 0.4), 0.5)
    assert (len(empty.pixels), len(empty.scores)) == (0, 0)
    assert np.isnan(empty.region_iou)
    false_alarm = count_regions(strip("0000"), heat_of(0.1, 0.9, 0.3, 0.4), 0.5)
    assert false_alarm.matched.tolist() == [[False, False]]


def test_a_true_region_is_claimed_once_and_by_the_better_score():
    """One true region of 8 pixels, cut by a gap: its halves have IoU 3/8 and 4/8."""
    truth, heat = strip("11111111"), heat_of(0.6, 0.6, 0.6, 0.0, 0.9, 0.9, 0.9, 0.9)
    found = count_regions(truth, heat, 0.5)
    assert found.matched.tolist() == [[False, False], [True, True]]
    assert found.region_iou == pytest.approx(0.5 / 2)


def test_component_ap_by_hand():
    """Three true regions; ranked finds: right 0.9, wrong 0.8, right 0.7 -> AP = 1/3 * 1 + 1/3 * 2/3."""
    truth = strip("100100100")
    heat = heat_of(0.9, 0, 0, 0.7, 0, 0.8, 0, 0, 0)
    found = point_values(score_pairs([("a", truth, heat)]))
    assert found["component_ap_50"] == pytest.approx(1 / 3 + 2 / 9)
    assert found["region_iou"] == pytest.approx(2 / 3)
    tied = heat_of(0.9, 0, 0, 0.9, 0, 0.9, 0, 0, 0)
    assert point_values(score_pairs([("a", truth, tied)]))["component_ap_50"] == pytest.approx(2 / 3 * 2 / 3)


def test_component_ap_counts_images_by_weight():
    pairs = [("a", strip("10"), heat_of(0.9, 0)), ("b", strip("10"), heat_of(0, 0.8))]
    counts = score_pairs(pairs)
    weights = np.array([[1, 1], [2, 0], [0, 2], [3, 1]])
    np.testing.assert_allclose(values(counts, weights)["component_ap_50"], [0.5, 1, 0, 0.75])
    np.testing.assert_allclose(values(counts, weights)["region_iou"], [0.5, 1, 0, 0.75])


def test_matching_is_the_best_one_to_one():
    """Greedy would take 0.6 and leave 0.1; the best takes 0.5 and 0.4. Against every permutation."""
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert best_matching(pairs, np.array([0.6, 0.5, 0.4, 0.1])) == pytest.approx(0.9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = rng.random((4, 4)) * (rng.random((4, 4)) < 0.6)
        chosen = np.argwhere(table > 0)
        best = max(sum(table[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(4)))
        assert best_matching(chosen, table[table > 0]) == pytest.approx(best)


def test_aupro_by_hand():
    """Two regions, scores 1.0 and 0.4; ten clean pixels, one at 0.6 and nine at 0.

    Falling thresholds: (FPR, overlap) = (0, 0), (0, 1/2), (0.1, 1/2), (0.1, 1), (1, 1). Up to 0.3: 0.05 + 0.2 = 0.25.
    """
    truth = strip("10" + "1" + "0" * 9)
    heat = heat_of(1.0, 0.6, 0.4, *[0.0] * 9)
    assert point_values(score_pairs([("a", truth, heat)]))["aupro"] == pytest.approx(0.25 / 0.3)


def test_aupro_is_undefined_without_regions_or_clean_pixels():
    regions = stack_regions([count_regions(strip("11"), heat_of(1, 1), 0.5)])
    assert np.isnan(aupro(regions, ONE_RESAMPLE, np.zeros((1, 256)))[0])
    regions = stack_regions([count_regions(strip("00"), heat_of(1, 1), 0.5)])
    assert np.isnan(aupro(regions, ONE_RESAMPLE, np.ones((1, 256)))[0])


def plain_aupro(pairs: list, limit: float = 0.3) -> float:
    """As Bergmann et al. describe it, threshold by threshold, from pixels."""
    from scipy import ndimage

    regions = []
    for _, truth, heat in pairs:
        labels, count = ndimage.label(truth == 1, np.ones((3, 3)))
        regions += [heat[labels == k + 1] for k in range(count)]
    clean = np.concatenate([heat[truth == 0] for _, truth, heat in pairs])
    points = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([clean, *regions]))[::-1]:
        points.append(((clean >= threshold).mean(), np.mean([(one >= threshold).mean() for one in regions])))
    rate, overlap = np.array(points).T
    fine = np.linspace(0, limit, 400_001)
    return float(np.trapezoid(np.interp(fine, rate, overlap), fine) / limit)


def drawn(num: int = 12, side: int = 48, seed: int = 1) -> list:
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    found = []
    for i in range(num):
        field = ndimage.gaussian_filter(rng.normal(size=(side, side)), 4)
        truth = (field > 1.2 * field.std()).astype(np.uint8)
        if i % 4 == 0:
            truth[:] = 0
        heat = np.clip(0.4 * truth + 0.3 + ndimage.gaussian_filter(rng.normal(size=(side, side)), 2), 0, 1)
        found.append((f"{i}", truth, np.rint(heat * 255).astype(np.float32) / np.float32(255)))
    return found


def test_aupro_agrees_with_a_plain_restatement():
    pairs = drawn()
    assert point_values(score_pairs(pairs))["aupro"] == pytest.approx(plain_aupro(pairs), abs=1e-4)


def test_aupro_agrees_with_anomalib():
    """The case by hand and 21 sets of random maps. Differences with anomalib 2.7.0 (torchmetrics 1.9.0, torch 2.13.0)
    on 2026-11-24: 4e-8 for the case by hand, at most 1.1e-7 for the maps; it computes in single precision.
    """
    metric = pytest.importorskip("anomalib.metrics.aupro", reason="anomalib is not installed")
    torch = pytest.importorskip("torch")
    by_hand = [("a", strip("10" + "1" + "0" * 9), heat_of(1.0, 0.6, 0.4, *[0.0] * 9))]
    for pairs in (by_hand, drawn(), *(drawn(4, 32, seed) for seed in range(20))):
        theirs = metric._AUPRO(fpr_limit=0.3)
        theirs.update(
            torch.from_numpy(np.stack([heat for *_, heat in pairs])),
            torch.from_numpy(np.stack([truth for _, truth, _ in pairs]).astype(np.int64)),
        )
        assert point_values(score_pairs(pairs))["aupro"] == pytest.approx(float(theirs.compute()), abs=1e-6)


def test_detection_ap_agrees_with_scikit_learn():
    """Where every true region is found once, AP over detections is scikit-learn's average precision."""
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    pairs, right, score = [], [], []
    for i in range(60):
        hit, value = bool(rng.random() < 0.6), float(np.rint(rng.random() * 200) / 255) + 0.2
        truth = strip("1000" if hit else "0000")
        pairs.append((f"{i}", truth, heat_of(value, 0, 0, 0)))
        right.append(hit)
        score.append(np.float32(value))
    found = point_values(score_pairs(pairs, threshold=0.1))
    assert found["component_ap_50"] == pytest.approx(sklearn.average_precision_score(right, score))


def test_image_recall_at_a_false_alarm_rate_by_hand():
    """Clean 0.1 0.2 0.3 0.9, broken 0.2 0.25 0.5 0.95. At 25% one clean image may be reached: threshold above 0.3."""
    score = np.array([0.1, 0.2, 0.3, 0.9, 0.2, 0.25, 0.5, 0.95])
    broken = np.arange(8) >= 4
    ones = np.ones((1, 8))
    np.testing.assert_allclose(image_tpr(ones, score, broken, (0.0, 0.25, 0.5, 0.74)), [[0.25, 0.5, 0.75, 0.75]])
    np.testing.assert_allclose(image_tpr(ones, score, broken, (0.75, 1.0)), [[1.0, 1.0]])
    doubled = ones + (np.arange(8) == 7)
    np.testing.assert_allclose(image_tpr(doubled, score, broken, (0.0,)), [[2 / 5]])
    assert np.isnan(image_tpr(ones, score, np.ones(8, bool))).all()


def test_pixel_rate_at_a_recall_by_hand():
    clean, artifact = np.zeros((2, 256)), np.zeros((2, 256))
    artifact[0, [255, 100]], clean[0, [200, 50]] = [19, 1], [3, 7]
    np.testing.assert_allclose(pixel_fpr_at_recall(clean, artifact), [0.0, np.nan])
    np.testing.assert_allclose(pixel_fpr_at_recall(clean, artifact, 0.96)[0], 0.3)


def test_a_threshold_for_a_wanted_rate():
    scores = np.array([0.1, 0.2, 0.3, 0.9])
    for rate, most in ((0.0, 0), (0.25, 1), (0.3, 1), (0.5, 2)):
        threshold = threshold_for_fpr(scores, rate)
        assert (scores >= threshold).sum() == most
        assert (scores >= threshold - 1e-6).sum() >= most + 1 or most == 4, "the lowest that does"
    with pytest.raises(ScoreError, match="reach the score 1"):
        threshold_for_fpr(np.array([1.0, 1.0, 0.2]), 0.5)
    with pytest.raises(ScoreError, match="0 <= rate < 1"):
        threshold_for_fpr(scores, float("nan"))
    with pytest.raises(ScoreError, match="finite"):
        threshold_for_fpr(np.array([np.nan]), 0.1)


def test_figures_have_intervals_and_survive_the_disk(tmp_path):
    counts = score_pairs(drawn())
    save_counts(tmp_path, [counts, counts])
    again = load_counts(tmp_path)
    for key, value in point_values(counts).items():
        np.testing.assert_equal(point_values(again[1])[key], value)
    found = summarise([counts], 200)
    for key in ("aupro", "component_ap_25", "region_iou", "image_tpr_at_10_fpr", "pixel_fpr_at_95_tpr"):
        one = found[key]
        assert one.low is not None
        assert one.low <= one.value <= one.high, key


def test_masks_have_regions_but_no_curve(tmp_path):
    pairs = [("a", strip("1100"), np.array([[1, 0, 0, 0]], np.uint8)), ("b", strip("0000"), strip("0001"))]
    counts = score_pairs(pairs)
    found = point_values(counts)
    assert found["component_ap_50"] == pytest.approx(0.5)
    assert np.isnan(found["aupro"])
    save_counts(tmp_path, [counts])
    assert load_counts(tmp_path)[0].regions.histograms is None
