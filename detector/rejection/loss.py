"""What adaptation minimises (Yin 2026, section 3.3): L = L_SSM + weight * L_dice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from shards.build import BuildError, build
from shards.errors import ConfigError
from shards.masks import ARTIFACT, IGNORE

SMOOTH = 1.0
"""Added to both sides of the Dice ratio, as Mask2Former does: defined where a mask is empty."""


@dataclass(frozen=True)
class Suppression:
    """The config line `rejection_loss`. Raises ConfigError for a value out of range."""

    margin: float = 0.5
    """m: the confidence E that an artifact's pixel may keep, 0..1."""
    weight: float = 1.0
    """lambda, of the term on the background."""
    background: Literal["soft_dice", "none"] = "soft_dice"
    """The paper says "a standard Dice loss computed on the background regions" and gives no formula. Ours is the soft
    Dice between E and the mask of what is no artifact; `none` leaves the term out."""

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 1:
            raise ConfigError(f"rejection_loss.margin must be in 0..1, got {self.margin}")
        if not 0 <= self.weight <= 1e4:
            raise ConfigError(f"rejection_loss.weight must be in 0..10000, got {self.weight}")

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Suppression:
        """From plain values. Raises ConfigError."""
        try:
            return build(cls, dict(values or {}))
        except BuildError as error:
            raise ConfigError(f"rejection_loss: {error}") from error


def losses(confidence: torch.Tensor, labels: torch.Tensor, options: Suppression) -> dict[str, torch.Tensor]:
    """The terms of the loss, each a scalar with its weight in it.

    Args:
        confidence: float BHW, E = 1 - msr. labels: integer BHW, 0 clean, 1 artifact, 255 ignored.
    """
    found = {"loss_suppression": suppression(confidence, labels, options.margin)}
    if options.background == "soft_dice":
        found["loss_dice"] = options.weight * background_dice(confidence, labels)
    return found


def suppression(confidence: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Mean over the artifact pixels of the batch of max(0, E - margin); 0 where there is none (equation 6)."""
    artifact = (labels == ARTIFACT).to(confidence.dtype)
    return ((confidence - margin).clamp(min=0) * artifact).sum() / artifact.sum().clamp(min=1)


def background_dice(confidence: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 - (2 sum E b + 1) / (sum E + sum b + 1) of each picture, b = 1 where it is clean; then their mean.

    Ignored pixels count on neither side. A picture that is all artifact has a loss that falls as E does.
    """
    seen = (labels != IGNORE).to(confidence.dtype)
    clean = ((labels != ARTIFACT) & (labels != IGNORE)).to(confidence.dtype)
    both, all_of_it = (confidence * clean).sum((1, 2)), (confidence * seen).sum((1, 2))
    return (1 - (2 * both + SMOOTH) / (all_of_it + clean.sum((1, 2)) + SMOOTH)).mean()
