"""Masks that lie beside the pictures (the folder source's option `masks`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from region_select.limits import Limits, apply_limits
from region_select.policy import ItemPolicy, Selection
from shards.errors import ConfigError
from shards.source import SourceItem


@dataclass(frozen=True)
class FilesOptions:
    """Options of the policy `files`."""

    limits: Limits = field(default_factory=Limits)


class FilesPolicy(ItemPolicy):
    """The picture's own mask, within the limits. A mask of another size was already a reject of the source."""

    Options = FilesOptions

    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        """Raises ConfigError where the source carries no masks at all."""
        if item.mask_missing:
            return Selection(None, "the picture has no mask of its own")
        if item.mask is None:
            raise ConfigError(
                f"region policy 'files' needs masks, but {item.uri} came without one; "
                f"give the source a folder of masks: source.options.masks=DIR"
            )
        mask, why = apply_limits(item.mask, self.options.limits)
        return Selection(mask, why)
