"""Our figures against other people's code: scikit-learn, SciPy and mmseg."""

from __future__ import annotations

import numpy as np
import pytest

from detector.score.api import score_pairs
from detector.score.metrics import image_par, point_values, values

metrics = pytest.importorskip("sklearn.metrics")


def made(num: int = 24, side: int = 96) -> list:
    """Blobs with ignored pixels and smooth noisy heat that partly saturates; a third of the images are clean."""
    from scipy import ndimage

    rng = np.random.default_rng(3)
    found = []
    for i in range(num):
        field = ndimage.gaussian_filter(rng.normal(size=(side, side)), 6)
        truth = np.zeros((side, side), np.uint8) if i % 3 == 0 else (field > field.std()).astype(np.uint8)
        heat = 1 / (1 + np.exp(-(2.5 * truth - 1.5 + ndimage.gaussian_filter(rng.normal(size=(side, side)), 2) * 12)))
        truth[rng.random(truth.shape) < 0.05] = 255
        found.append((f"{i:03d}", truth, heat.astype(np.float32)))
    return found


@pytest.fixture(scope="module")
def pairs() -> list:
    return made()


def flat(pairs) -> tuple[np.ndarray, np.ndarray]:
    """True labels and scores of all pixels that count."""
    truth = np.concatenate([truth[truth != 255] for _, truth, _ in pairs])
    return truth, np.concatenate([heat[truth != 255] for _, truth, heat in pairs])


def test_pixel_scores_agree_with_scikit_learn(pairs):
    found, (truth, heat) = point_values(score_pairs(pairs)), flat(pairs)
    assert found["pixel_ap"] == pytest.approx(metrics.average_precision_score(truth, heat), abs=1e-3)
    assert found["pixel_auroc"] == pytest.approx(metrics.roc_auc_score(truth, heat), abs=1e-3)
    for key, reference in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        assert found[key] == pytest.approx(reference(truth, heat >= 0.5), abs=1e-12)
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, heat >= 0.5), abs=1e-12)
    assert found["artifact_iou"] == pytest.approx(metrics.jaccard_score(truth, heat >= 0.5), abs=1e-12)
    assert found["two_class_mean_iou"] == pytest.approx(metrics.jaccard_score(truth, heat >= 0.5, average="macro"))


def test_eight_bit_scores_agree_exactly(pairs):
    coarse = [(key, truth, np.rint(heat * 255).astype(np.float32) / np.float32(255)) for key, truth, heat in pairs]
    found, (truth, heat) = point_values(score_pairs(coarse)), flat(coarse)
    assert found["pixel_ap"] == pytest.approx(metrics.average_precision_score(truth, heat), abs=1e-12)
    assert found["pixel_auroc"] == pytest.approx(metrics.roc_auc_score(truth, heat), abs=1e-12)
    said, true = np.rint(heat * 255), truth == 1
    ious = [np.count_nonzero(true & (said >= v)) / np.count_nonzero(true | (said >= v)) for v in range(256)]
    assert found["oracle_threshold_iou"] == pytest.approx(max(ious), abs=1e-12)


def test_image_auroc_agrees_with_scikit_learn(pairs):
    counts = score_pairs(pairs)
    found, broken = point_values(counts), counts.artifact > 0
    highest = [heat[truth != 255].max() for _, truth, heat in pairs]
    assert found["image_auroc_max"] == pytest.approx(metrics.roc_auc_score(broken, highest), abs=1e-12)
    assert found["image_auroc_par"] == pytest.approx(metrics.roc_auc_score(broken, image_par(counts)), abs=1e-12)


def test_weighted_scores_agree_with_repeated_pixels(pairs):
    weights = np.random.default_rng(0).integers(0, 3, (1, len(pairs)))
    again = [pairs[i] for i in range(len(pairs)) for _ in range(weights[0, i])]
    truth, heat = flat(again)
    found = values(score_pairs(pairs), weights)
    assert found["pixel_ap"][0] == pytest.approx(metrics.average_precision_score(truth, heat), abs=1e-3)
    assert found["pixel_auroc"][0] == pytest.approx(metrics.roc_auc_score(truth, heat), abs=1e-3)


def test_heat_map_scores_agree_with_scipy(pairs):
    from scipy import stats

    counts = score_pairs(pairs)
    for i, (_, truth, heat) in enumerate(pairs[:6]):
        there = truth != 255
        true, said = truth[there] == 1, heat[there].astype(np.float64)
        if not true.any():
            assert np.isnan(counts.heat[i, 1:]).all()
            continue
        _, kld, cc, _, nss, judd = counts.heat[i]
        assert kld == pytest.approx(stats.entropy(true.astype(float), said), abs=1e-6)
        assert cc == pytest.approx(stats.pearsonr(true, said)[0], abs=1e-9)
        assert nss == pytest.approx(stats.zscore(said)[true].mean(), abs=1e-9)
        assert judd == pytest.approx(metrics.roc_auc_score(true, said), abs=1e-3)


@pytest.mark.slow
def test_areas_agree_with_mmseg(pairs):
    """mmseg's own IoUMetric, which rounds to two decimals of a percent; importing it takes seconds."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("mmseg.evaluation.metrics.iou_metric")
    theirs = module.IoUMetric(ignore_index=255, iou_metrics=["mIoU", "mFscore"])
    theirs.dataset_meta = {"classes": ("clean", "artifact")}
    for _, truth, heat in pairs:
        label, said = torch.from_numpy(truth.astype(np.int64)), torch.from_numpy((heat >= 0.5).astype(np.int64))
        theirs.process({}, [{"pred_sem_seg": {"data": said[None]}, "gt_sem_seg": {"data": label[None]}}])
    sums = [sum(parts) for parts in zip(*theirs.results, strict=True)]
    exact = theirs.total_area_to_metrics(*sums, ["mIoU", "mFscore"])
    found = point_values(score_pairs(pairs))
    assert found["artifact_iou"] == pytest.approx(exact["IoU"][1], abs=1e-6)
    assert found["precision"] == pytest.approx(exact["Precision"][1], abs=1e-6)
    assert found["recall"] == pytest.approx(exact["Recall"][1], abs=1e-6)
    assert found["f1"] == pytest.approx(exact["Fscore"][1], abs=1e-6)
    assert 100 * found["two_class_mean_iou"] == pytest.approx(theirs.compute_metrics(theirs.results)["mIoU"], abs=0.006)
