"""Which source becomes which row of which shard, and every draw that is made for it.

All of it is a function of the source's index or of (run seed, source sha256, occurrence, variant): never of batch,
order, process or of what was rejected before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from corruptor.line.config import LineConfig
from corruptor.noise import sample_seed
from shards.schema import make_key
from shards.source import SourceItem


@dataclass(frozen=True)
class Plan:
    """The layout of a run over `num_items` source items."""

    num_items: int
    sources_per_shard: int
    num_variants: int

    @property
    def num_shards(self) -> int:
        return -(-self.num_items // self.sources_per_shard)

    def indices(self, shard: int) -> range:
        """Source indices of a shard."""
        first = shard * self.sources_per_shard
        return range(first, min(first + self.sources_per_shard, self.num_items))

    def num_rows(self, shard: int) -> int:
        """Rows of a shard, rejects included."""
        return len(self.indices(shard)) * self.num_variants

    def place(self, index: int, variant: int) -> tuple[int, int]:
        """(shard, row) of a source's variant."""
        shard, within = divmod(index, self.sources_per_shard)
        return shard, within * self.num_variants + variant

    def key(self, index: int, variant: int) -> str:
        """The sample key."""
        return make_key(*self.place(index, variant))


def make_plan(config: LineConfig, num_items: int) -> Plan:
    return Plan(num_items, config.samples.sources_per_shard, config.samples.num_variants)


def noise_seed(seed: int, item: SourceItem, variant: int) -> int:
    """Seed of the noise of one row."""
    return sample_seed(seed, item.sha256, item.occurrence, variant)


def region_rng(seed: int, item: SourceItem, variant: int) -> np.random.Generator:
    """Generator of the mask of one row, independent of its noise."""
    digest = _digest(f"region/{seed}/{item.sha256}/{item.occurrence}/{variant}")
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def clean_variant(seed: int, item: SourceItem, num_variants: int, clean_share: float) -> int:
    """The variant of a source that becomes its clean sample, or -1.

    At most one: clean variants of one source would be equal. A source has one with probability
    num_variants * clean_share, at any variant alike, so that the share of rows is as asked.
    """
    digest = _digest(f"clean/{seed}/{item.sha256}/{item.occurrence}")
    place = int.from_bytes(digest[:8], "big") / 2.0**64
    if place >= clean_share * num_variants:
        return -1
    return min(int(place / clean_share), num_variants - 1)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
