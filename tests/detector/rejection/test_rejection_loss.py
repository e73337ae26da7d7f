"""The loss of adaptation: four pixels by hand, its gradient, and labels that are empty, full or ignored."""

from __future__ import annotations

import pytest
import torch

from detector.rejection.loss import Suppression, losses
from detector.rejection.scores import Queries, rejection
from shards.errors import ConfigError

E = torch.tensor([[[0.9, 0.6], [0.3, 0.8]]])
LABELS = torch.tensor([[[1, 1], [1, 0]]])


def test_by_hand():
    """Artifact pixels exceed 0.5 by 0.4, 0.1 and nothing; the clean one has E 0.8 of 2.6."""
    found = losses(E, LABELS, Suppression(margin=0.5))
    assert found["loss_suppression"].item() == pytest.approx(0.5 / 3)
    assert found["loss_dice"].item() == pytest.approx(1 - (2 * 0.8 + 1) / (2.6 + 1 + 1))


def test_options():
    found = losses(E, LABELS, Suppression(margin=0.7, weight=2.0))
    assert found["loss_suppression"].item() == pytest.approx(0.2 / 3)
    assert found["loss_dice"].item() == pytest.approx(2 * (1 - 2.6 / 4.6))
    assert list(losses(E, LABELS, Suppression(background="none"))) == ["loss_suppression"]


@pytest.mark.parametrize(
    ("label", "suppressed", "dice"),
    [
        (0, 0.0, 1 - (2 * 2.6 + 1) / (2.6 + 4 + 1)),
        (1, 0.8 / 4, 1 - 1 / (2.6 + 1)),
        (255, 0.0, 0.0),
    ],
)
def test_empty_full_and_ignored(label, suppressed, dice):
    found = losses(E, torch.full_like(LABELS, label), Suppression())
    assert found["loss_suppression"].item() == pytest.approx(suppressed)
    assert found["loss_dice"].item() == pytest.approx(dice)


def test_gradient_is_the_finite_difference():
    """Through the score as well: of the loss by the logits of masks and classes."""
    rng = torch.Generator().manual_seed(1)
    masks = torch.randn(1, 3, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    classes = torch.randn(1, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 2, (1, 3, 4), generator=rng)

    def loss(masks: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        confidence = 1 - rejection(Queries(masks, classes), (3, 4), ("msr",), chunk_values=12)["msr"]
        found = losses(confidence, labels, Suppression(margin=0.1))
        return found["loss_suppression"] + found["loss_dice"]

    assert torch.autograd.gradcheck(loss, (masks, classes), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(
    "values", [{"margin": 1.5}, {"margin": -0.1}, {"weight": -1.0}, {"background": "focal"}, {"m": 1}]
)
def test_wrong_options_are_one_line(values):
    with pytest.raises(ConfigError, match="rejection_loss"):
        Suppression.of(values)
