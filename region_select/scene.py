"""Objects and parts that the source itself names, as rendered scenes do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from region_select.limits import Limits, apply_limits
from region_select.policy import ItemPolicy, Selection
from shards.masks import ARTIFACT
from shards.source import Region, SourceItem


@dataclass(frozen=True)
class SceneOptions:
    """Options of the policy `scene`."""

    level: Literal["objects", "parts"] = "parts"
    """Whole objects, or parts of objects (an eye, the fingers, a wheel)."""
    names: tuple[str, ...] = ()
    """Only regions whose name begins with one of these; () for any."""
    max_regions: int = 1
    """Take between one and so many regions, each number equally often."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.max_regions < 1:
            raise ValueError(f"max_regions must be 1 or more, got {self.max_regions}")


class ScenePolicy(ItemPolicy):
    """Regions drawn without replacement, each equally likely among those that fit the limits by themselves."""

    Options = SceneOptions

    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        candidates = [region for region in item.regions if self._wanted(region)]
        fitting = [r for r in candidates if apply_limits(r.mask, self.options.limits)[0] is not None]
        if not fitting:
            return Selection(None, f"none of {len(candidates)} {self.options.level} fits the limits")
        count = min(int(rng.integers(1, self.options.max_regions + 1)), len(fitting))
        picked = [fitting[int(i)] for i in sorted(rng.choice(len(fitting), size=count, replace=False))]
        union = np.zeros(item.image.shape[:2], np.uint8)
        for region in picked:
            union[region.mask == ARTIFACT] = ARTIFACT
        mask, why = apply_limits(union, self.options.limits)
        return Selection(mask, why, {"regions": [region.name for region in picked]})

    def _wanted(self, region: Region) -> bool:
        is_part = region.parent != ""
        named = not self.options.names or region.name.startswith(self.options.names)
        return is_part == (self.options.level == "parts") and named
