"""Regions without labels: where an open-vocabulary model finds what generators break. "face", "hand", "text", .."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from region_select.hottest import USUAL
from region_select.limits import Limits, apply_limits
from region_select.opinion import Finding, open_finder, phrases_digest
from region_select.policy import Policy, Selection
from shards.masks import ARTIFACT, CLEAN
from shards.source import SourceItem

MOST_PHRASES = 64


@dataclass(frozen=True)
class PromptedOptions:
    """Options of the policy `prompted`."""

    model: str = "google/owlv2-base-patch16-ensemble"
    """OWL-ViT, OWLv2, Grounding DINO (boxes) or CLIPSeg (masks): a folder or hub id."""
    phrases: tuple[str, ...] = ("face", "hand", "finger", "text", "eye", "wheel")
    """What to look for."""
    least: float = 0.2
    """Score, above 0 to below 1, from which on a phrase counts as found; of CLIPSeg the probability of a pixel."""
    max_regions: int = 2
    """Take between one and so many of what was found, each number equally often; the surer the likelier."""
    masks: str = ""
    """SAM, a folder or hub id, to cut boxes down to what is in them; "" leaves boxes."""
    revision: str = "main"
    """Of the model's hub id."""
    masks_revision: str = "main"
    """Of SAM's hub id."""
    limits: Limits = field(default_factory=lambda: USUAL)
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.phrases) <= MOST_PHRASES or not all(phrase.strip() for phrase in self.phrases):
            raise ValueError(f"phrases must be 1 to {MOST_PHRASES}, none of them empty, got {self.phrases}")
        if not 0.0 < self.least < 1.0 or self.max_regions < 1:
            raise ValueError(
                f"needed: least above 0 to below 1 and max_regions 1 or more, got {self.least} and {self.max_regions}"
            )


class PromptedPolicy(Policy):
    """A picture in which nothing is found has no region, which is written down. The model is loaded when it is opened.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    Options = PromptedOptions

    def __init__(self, options: PromptedOptions | None = None) -> None:
        super().__init__(options)
        told = self.options
        self._digest = " ".join(
            phrases_digest(where, revision)
            for where, revision in ((told.model, told.revision), (told.masks, told.masks_revision))
            if where
        )
        self.find = open_finder(
            told.model, told.phrases, told.least, told.revision, told.masks, told.masks_revision, told.device
        )

    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        known: dict[int, Sequence[Finding]] = {}
        for item in items:  # variants of one picture come as one object: it is looked at once
            if id(item.image) not in known:
                known[id(item.image)] = self.find(item.image)
        return [self.choose(known[id(item.image)], rng) for item, rng in zip(items, rngs, strict=True)]

    def choose(self, found: Sequence[Finding], rng: np.random.Generator) -> Selection:
        """Some of what was found that fits the limits by itself."""
        if not found:
            return Selection(None, f"none of {len(self.options.phrases)} phrases was found at {self.options.least:g}")
        masks = [np.where(one.mask, np.uint8(ARTIFACT), np.uint8(CLEAN)) for one in found]
        fitting = [k for k, mask in enumerate(masks) if apply_limits(mask, self.options.limits)[0] is not None]
        if not fitting:
            return Selection(None, f"none of {len(found)} finds fits the limits")
        count = min(int(rng.integers(1, self.options.max_regions + 1)), len(fitting))
        scores = np.array([found[k].score for k in fitting]) + 1e-6
        picked = sorted(rng.choice(len(fitting), size=count, replace=False, p=scores / scores.sum()).tolist())
        chosen = [fitting[k] for k in picked]
        mask, why = apply_limits(np.maximum.reduce([masks[k] for k in chosen]), self.options.limits)
        facts = {
            "phrases": [found[k].phrase for k in chosen],
            "scores": [round(found[k].score, 4) for k in chosen],
        }
        return Selection(mask, why, facts)

    def digest(self) -> str:
        return self._digest
