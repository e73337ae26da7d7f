"""The hottest pixels of a map as a region, for policies that know how suspicious a place is and not where to cut."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from region_select.limits import Limits, apply_limits
from region_select.policy import Selection
from region_select.selector import hottest
from shards.masks import ARTIFACT, CLEAN

USUAL = Limits(dilation=1, min_component_area=0.006, min_area=0.006, max_area=0.3)


@dataclass(frozen=True)
class HottestOptions:
    """How a map becomes a region."""

    area: float = 0.1
    """The hottest pixels up to this share of the picture, above 0 to 1, before the limits."""
    least: float = 0.0
    """Of these, those whose heat is above this; 0: above nothing at all."""
    limits: Limits = field(default_factory=lambda: USUAL)

    def __post_init__(self) -> None:
        if not 0.0 < self.area <= 1.0 or not 0.0 <= self.least < 1.0:
            raise ValueError(f"needed: area above 0 to 1 and least 0 to below 1, got {self.area} and {self.least}")


def hottest_region(heat: NDArray[np.float32], options: HottestOptions) -> Selection:
    """The region of a map float32 HW, 0 or more; no region, and why, where nothing of it is left."""
    mask = np.where((hottest(heat, options.area) == ARTIFACT) & (heat > options.least), ARTIFACT, CLEAN)
    kept, why = apply_limits(mask.astype(np.uint8), options.limits)
    facts = {"peak": round(float(heat.max()), 4)}
    if not mask.any():
        why = f"no heat above {options.least:g} (highest {facts['peak']:g})"
    return Selection(kept, why if kept is None else "", facts)
