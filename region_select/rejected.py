"""Regions without labels: what a segmenter of valid content explains worst, or the classes that generators break.

The anomaly map is that of mask-based semantic rejection (Yin 2026), of the clean picture: what is hard to recognise
already is likeliest to be drawn wrong. The classes are what is known of generators in general: they break lettering,
hands, wheels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from region_select.hottest import HottestOptions, hottest_region
from region_select.opinion import detector_digest, open_classes, open_detector
from region_select.policy import Policy, Selection
from shards.source import SourceItem


@dataclass(frozen=True)
class RejectedOptions:
    """Options of the policy `rejected`."""

    segmenter: str = ""
    """Weights of a scene segmenter: a .safetensors file of ours, a folder as transformers writes it, or a hub id."""
    score: str = "msr"
    """msr, msr_unweighted, max_prob, entropy, pixel or rba; of a network that classifies each pixel max_prob or
    entropy. Not asked where there are classes."""
    classes: tuple[str, ...] = ()
    """Names (or numbers) of the segmenter's classes that break, the likeliest first; a pixel's heat is then the
    probability of the class, less the later it comes in this list."""
    revision: str = "main"
    """Of a hub id."""
    region: HottestOptions = field(default_factory=HottestOptions)
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if not self.segmenter:
            raise ValueError("segmenter is empty; name weights, such as region.options.segmenter=DIR")


class RejectedPolicy(Policy):
    """Takes no draw: every variant of a picture has the same region. The weights are loaded when it is opened.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    Options = RejectedOptions

    def __init__(self, options: RejectedOptions) -> None:
        super().__init__(options)
        where, revision, device = options.segmenter, options.revision, options.device
        self._digest = detector_digest(where, "pixel", revision)
        if options.classes:
            self.look = open_classes(where, options.classes, revision, device)
        else:
            self.look = open_detector(where, options.score, revision, device)

    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        known: dict[int, Selection] = {}
        for item in items:  # variants of one picture come as one object: it is looked at once
            if id(item.image) not in known:
                known[id(item.image)] = hottest_region(self.look([item.image])[0], self.options.region)
        return [known[id(item.image)] for item in items]

    def digest(self) -> str:
        return self._digest
