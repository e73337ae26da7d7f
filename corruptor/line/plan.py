"""Which source becomes which row of which shard, and every draw that is made for it.

All of it is a function of the source's index or of (run seed, source sha256, occurrence, variant): never of batch,
order, process or of what was rejected before.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from corruptor.line.config import LineConfig
from corruptor.noise import sample_seed
from shards.schema import make_key
from shards.seeds import named_fraction, named_rng
from shards.source import SourceItem


@dataclass(frozen=True)
class Plan:
    """The layout of a run over `num_items` source items."""

    num_items: int
    sources_per_shard: int
    num_variants: int
    breaks: tuple[int, ...] = ()
    """Numbers of items, growing, at which a shard ends early: there the run once ended, and went on later."""

    @cached_property
    def starts(self) -> list[int]:
        """The first source index of every shard."""
        starts: list[int] = []
        for first, end in pairwise((0, *self.breaks, self.num_items)):
            starts += range(first, end, self.sources_per_shard)
        return starts

    @property
    def num_shards(self) -> int:
        return len(self.starts)

    def indices(self, shard: int) -> range:
        """Source indices of a shard."""
        return range(self.starts[shard], self.starts[shard + 1] if shard + 1 < self.num_shards else self.num_items)

    def num_rows(self, shard: int) -> int:
        """Rows of a shard, rejects included."""
        return len(self.indices(shard)) * self.num_variants

    def place(self, index: int, variant: int) -> tuple[int, int]:
        """(shard, row) of a source's variant."""
        shard = bisect.bisect_right(self.starts, index) - 1
        return shard, (index - self.starts[shard]) * self.num_variants + variant

    def key(self, index: int, variant: int) -> str:
        """The sample key."""
        return make_key(*self.place(index, variant))


def make_plan(config: LineConfig, num_items: int, breaks: tuple[int, ...] = ()) -> Plan:
    return Plan(num_items, config.samples.sources_per_shard, config.samples.num_variants, breaks)


def noise_seed(seed: int, item: SourceItem, variant: int) -> int:
    """Seed of the noise of one row."""
    return sample_seed(seed, item.sha256, item.occurrence, variant)


def region_rng(seed: int, item: SourceItem, variant: int) -> np.random.Generator:
    """Generator of the mask of one row, independent of its noise."""
    return named_rng(f"region/{seed}/{item.sha256}/{item.occurrence}/{variant}")


def clean_variant(seed: int, item: SourceItem, num_variants: int, clean_share: float) -> int:
    """The variant of a source that becomes its clean sample, or -1.

    At most one: clean variants of one source would be equal. A source has one with probability
    num_variants * clean_share, at any variant alike, so that the share of rows is as asked.
    """
    place = named_fraction(f"clean/{seed}/{item.sha256}/{item.occurrence}")
    if place >= clean_share * num_variants:
        return -1
    return min(int(place / clean_share), num_variants - 1)
