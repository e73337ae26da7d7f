"""The scores of two queries and four pixels solved by hand, against a naive restatement, and where they break down."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from detector.rejection.names import SCORES
from detector.rejection.scores import Queries, as_heat, of_pixels, opened, rejection

# Two queries, two classes and "no object"; probabilities are chosen, logits are their logarithms.
P = torch.tensor([[0.6, 0.2, 0.2], [0.1, 0.3, 0.6]])
M = torch.tensor([[[0.9, 0.5], [0.1, 0.2]], [[0.2, 0.8], [0.7, 0.4]]])
BY_HAND = {
    # 1 - max(M_1 * 0.6, M_2 * 0.3)
    "msr": [1 - 0.54, 1 - 0.30, 1 - 0.21, 1 - 0.12],
    # Active: the first; both; the second; none.
    "msr_unweighted": [1 - 0.6, 1 - 0.6, 1 - 0.3, 1.0],
}


def hand_made() -> Queries:
    return Queries(torch.logit(M)[None].double(), P.log()[None].double())


def shares(pixel: int) -> list[float]:
    """p(c) of a pixel, not normalised."""
    masks = M.flatten(1)[:, pixel].tolist()
    return [sum(P[q, c].item() * masks[q] for q in range(2)) for c in range(2)]


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_scores_of_queries_by_hand(name):
    found = rejection(hand_made(), (2, 2))[name][0].flatten()
    assert found.tolist() == pytest.approx(BY_HAND[name], abs=1e-6)


def test_scores_of_classes_by_hand():
    found = {name: value[0].flatten().tolist() for name, value in rejection(hand_made(), (2, 2)).items()}
    for pixel in range(4):
        p = shares(pixel)
        a, b = p[0] / sum(p), p[1] / sum(p)
        assert found["max_prob"][pixel] == pytest.approx(1 - max(a, b), abs=1e-6)
        bits = -(a * math.log(a) + b * math.log(b)) / math.log(2)
        assert found["entropy"][pixel] == pytest.approx(bits, abs=1e-6)
        odds = [math.exp(v) for v in p]
        assert found["pixel"][pixel] == pytest.approx(1 - max(odds) / sum(odds), abs=1e-6)
        assert found["rba"][pixel] == pytest.approx(-sum(math.tanh(v) for v in p), abs=1e-6)
    # One of them as a number: 0.9 of the first query and 0.2 of the second give p = (0.56, 0.24).
    assert found["max_prob"][0] == pytest.approx(0.24 / 0.80, abs=1e-6)


def naive(found: Queries, size: tuple[int, int], valid: list[int]) -> dict[str, torch.Tensor]:
    """The formulas, pixel by pixel and query by query."""
    masks = functional.interpolate(found.masks, size, mode="bilinear", align_corners=False).sigmoid()
    classes = found.classes.softmax(-1)[..., valid]
    made = {name: torch.zeros(len(masks), *size, dtype=masks.dtype) for name in SCORES}
    for b in range(len(masks)):
        for y in range(size[0]):
            for x in range(size[1]):
                m = masks[b, :, y, x]
                made["msr"][b, y, x] = 1 - max(m[q] * classes[b, q].max() for q in range(len(m)))
                active = [classes[b, q].max().item() for q in range(len(m)) if m[q] >= 0.5]
                made["msr_unweighted"][b, y, x] = 1 - max(active, default=0.0)
                p = sum(m[q] * classes[b, q] for q in range(len(m)))
                share = p / p.sum()
                made["max_prob"][b, y, x] = 1 - share.max()
                made["entropy"][b, y, x] = -(share * share.log()).sum() / math.log(len(share))
                made["pixel"][b, y, x] = 1 - p.softmax(0).max()
                made["rba"][b, y, x] = -p.tanh().sum()
    return made


def random_queries(batch: int = 2, queries: int = 7, classes: int = 5) -> Queries:
    rng = torch.Generator().manual_seed(3)
    masks = 3 * torch.randn(batch, queries, 3, 4, generator=rng, dtype=torch.float64)
    return Queries(masks, 2 * torch.randn(batch, queries, classes + 1, generator=rng, dtype=torch.float64))


@pytest.mark.parametrize("valid", [[0, 1, 2, 3, 4], [1, 3, 4]])
def test_scores_are_the_formulas(valid):
    found = random_queries()
    expected = naive(found, (6, 5), valid)
    for name, value in rejection(found, (6, 5), valid=valid).items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize("chunk_values", [1, 90, 1 << 24])
def test_chunks_change_nothing(chunk_values):
    found = random_queries()
    whole = rejection(found, (6, 5))
    parts = rejection(found, (6, 5), chunk_values=chunk_values)
    for name in SCORES:
        torch.testing.assert_close(parts[name], whole[name])


def test_only_what_is_asked_for():
    assert list(rejection(hand_made(), (2, 2), ("rba", "msr"))) == ["msr", "rba"]


def test_every_query_says_no_object():
    """Nothing explains a pixel: the scores are 1 or what equal classes give, and never NaN."""
    masks = torch.full((1, 3, 2, 2), -200.0)
    classes = torch.tensor([0.0, 0.0, 0.0, 0.0, 500.0]).expand(1, 3, 5)
    found = {name: value[0, 0, 0].item() for name, value in rejection(Queries(masks, classes), (2, 2)).items()}
    assert found["msr"] == found["msr_unweighted"] == 1
    assert found["max_prob"] == found["pixel"] == 0.75
    assert found["entropy"] == pytest.approx(1)
    assert found["rba"] == 0
    assert as_heat("rba", torch.tensor(found["rba"])) == 1


def test_opening_by_hand():
    """A line goes, a square of three stays with a radius of one and goes with two; the frame takes nothing away."""
    score = torch.zeros(1, 9, 12)
    score[0, :, 1] = 0.9
    score[0, 3:6, 4:7] = 0.6
    score[0, 6:9, 9:12] = 0.8
    found = opened(score, 1)
    expected = score.clone()
    expected[0, :, 1] = 0
    assert torch.equal(found, expected)
    assert opened(score, 0) is score
    wide = torch.zeros(1, 9, 12)
    wide[0, 2:7, 2:7] = 0.5
    assert torch.equal(opened(torch.maximum(wide, score * 0), 2), wide)
    assert opened(score[:, :, 2:8], 2).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 400)])
def test_any_size_of_picture(size):
    for name, value in rejection(random_queries(), size).items():
        assert value.shape == (2, *size)
        assert value.isfinite().all()
        heat = as_heat(name, value)
        assert heat.min() >= 0
        assert heat.max() <= 1


def test_one_valid_class_leaves_no_entropy():
    assert (rejection(random_queries(), (2, 2), ("entropy",), valid=[2])["entropy"] == 0).all()


def test_scores_of_a_network_that_classifies_pixels():
    """Probabilities 0.5, 0.3 and 0.2 of three classes; then of the last two alone, 0.6 and 0.4."""
    logits = torch.tensor([0.5, 0.3, 0.2]).log()[None, :, None, None]
    assert of_pixels(logits, "pixel").item() == pytest.approx(0.5)
    assert of_pixels(logits, "max_prob", [1, 2]).item() == pytest.approx(0.4)
    bits = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / math.log(2)
    assert of_pixels(logits, "entropy", [1, 2]).item() == pytest.approx(bits)
