"""Regions where a selector trained on labelled pictures says that a picture would break: the policy of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from region_select.limits import Limits
from region_select.policy import Policy, Selection
from region_select.selector import Fallback, Heat, Selector, Tau, check_tau, propose
from shards.masks import U8
from shards.source import SourceItem

DEFAULT_WEIGHTS = "region_select/weights/swin_mini.safetensors"


MAX_CHUNK = 1024


@dataclass(frozen=True)
class LearnedOptions:
    """Options of the policy `learned`."""

    weights: str = DEFAULT_WEIGHTS
    """A file of `python -m region_select train`, or its folder; as given, else beside the installed packages."""
    tau: Tau = 0.5
    """A pixel is selected from this probability on. match_area: the one at which validation pictures have the mean area
    of the labels; best_iou: the one of the largest artifact IoU there. On clean pictures little reaches 0.5: `python -m
    region_select report` says how little, and which tau gives the labels' area there."""
    limits: Limits = field(default_factory=Limits)
    fallback: Fallback = "none"
    """Where no region is found: `none` records that, `hottest` takes the pixels most likely to break."""
    fallback_area: float = 0.0
    """So large a share of the picture; 0 takes the mean area of the labels."""
    chunk: int = 1
    """Pictures a forward pass. With 1 a mask depends on its picture alone; more is faster on a card, and where rounding
    depends on the place in a batch, pixels on the edge of tau may follow it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if not isinstance(self.tau, str):
            check_tau(self.tau)
        if not 1 <= self.chunk <= MAX_CHUNK or not 0.0 <= self.fallback_area <= 1.0:
            raise ValueError(
                f"needed: chunk 1..{MAX_CHUNK} and fallback_area in 0..1, got {self.chunk} and {self.fallback_area}"
            )


class LearnedPolicy(Policy):
    """Takes no draw: every variant of a picture has the same region. The weights are loaded when it is opened.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    Options = LearnedOptions

    def __init__(self, options: LearnedOptions | None = None) -> None:
        super().__init__(options)
        chosen = self.options
        self.selector = Selector.load(chosen.weights, chosen.device, chosen.chunk)
        self.tau = self.selector.tau(chosen.tau)
        self.fallback_area = self.selector.fallback_area(chosen.fallback, chosen.fallback_area)

    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        # Variants of one picture come as one object: it is looked at once.
        places: dict[int, int] = {}
        images: list[U8] = []
        for item in items:
            if id(item.image) not in places:
                places[id(item.image)] = len(images)
                images.append(item.image)
        found = [self.propose(heat) for heat in self.selector.heats(images)]
        return [found[places[id(item.image)]] for item in items]

    def propose(self, heat: Heat) -> Selection:
        """The region of a heat map float32 HW."""
        return propose(heat, self.tau, self.options.limits, self.fallback_area)

    def digest(self) -> str:
        return self.selector.digest
