"""The first half of the line: read and resize pictures in threads, let the policy propose masks, make up batches.

Batches never cross shards and hold pictures of one size. Within a shard their make-up follows from the order of the
source alone, so that a shard made again is made of the same batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import numpy as np

from corruptor.line.batch import Batch, Loaded, Refused, Row
from corruptor.line.config import LineConfig
from corruptor.line.plan import Plan, clean_variant, region_rng
from region_select.policy import Policy, Selection
from shards.ahead import Memory, ahead_within
from shards.masks import ARTIFACT, CLEAN, IGNORE
from shards.resize import SizePolicy, resize_item, resize_mask
from shards.source import Reject, Source, SourceItem


@dataclasses.dataclass
class Loader:
    """Turns source indices into batches.

    size_multiple: sides of pictures must be multiples of it; a picture that is not becomes a reject.
    """

    source: Source
    policy: Policy
    config: LineConfig
    plan: Plan
    size_multiple: int

    def batches(self, shards: Iterable[int]) -> Generator[Batch, None, None]:
        """All batches of the shards, in order; the last of each shard may be short or hold only refusals.

        `shards` is asked for the next one no sooner than its first picture is read.
        """
        places = ((shard, index) for shard in shards for index in self.plan.indices(shard))
        readers = self.config.workers.num_readers
        # One batch and a few more under way.
        waiting = self.config.compute.batch_size + 2 * readers
        memory = Memory[tuple[int, int], Loaded | Refused](lambda place: self.source.cost(place[1]), loaded_bytes)
        parts = ahead_within(lambda place: self.load(place[1]), places, readers, waiting, "reader", memory)
        with closing(parts):
            for shard, loaded in groupby(parts, key=lambda part: part[0][0]):
                yield from self._shard(shard, (part for _, part in loaded))

    def load(self, index: int) -> Loaded | Refused:
        """Read one picture and bring it to the model's size."""
        return load_picture(self.source, index, self.config.size, self.size_multiple)

    def _shard(self, shard: int, parts: Iterator[Loaded | Refused]) -> Iterator[Batch]:
        groups: dict[tuple[int, int], _Group] = {}
        refused: list[Refused] = []
        for part in parts:
            if isinstance(part, Refused):
                refused += self._refuse_all(part)
                continue
            group = groups.setdefault(part.size, _Group())
            group.loaded.append(part)
            if len(group.loaded) == self.config.compute.batch_size:
                refused += self._propose(group)
            while len(group.ready) >= self.config.compute.batch_size:
                yield Batch(shard, group.take(self.config.compute.batch_size), tuple(refused))
                refused = []
        for group in groups.values():
            refused += self._propose(group)
            while group.ready:
                yield Batch(shard, group.take(self.config.compute.batch_size), tuple(refused))
                refused = []
        if refused:
            yield Batch(shard, (), tuple(refused))

    def _refuse_all(self, refused: Refused) -> list[Refused]:
        """A source that cannot be used takes all its rows with it, but is one reject."""
        others = [Refused(refused.index, variant, None) for variant in range(1, self.plan.num_variants)]
        return [refused, *others]

    def propose(self, loaded: Sequence[Loaded]) -> tuple[list[tuple[Row, ...]], list[Refused]]:
        """Masks for pictures of one size: the rows of each picture that has any, and what was refused."""
        seed, num_variants, share = self.config.seed, self.plan.num_variants, self.config.samples.clean_share
        wanted = [
            (one, variant, variant == clean_variant(seed, one.item, num_variants, share))
            for one in loaded
            for variant in range(num_variants)
        ]
        asked = [(one.item, region_rng(seed, one.item, variant)) for one, variant, clean in wanted if not clean]
        answers = iter(self.policy.select([item for item, _ in asked], [rng for _, rng in asked]) if asked else [])
        rows: dict[int, list[Row]] = {one.index: [] for one in loaded}
        refused: list[Refused] = []
        for one, variant, clean in wanted:
            selection = Selection(_empty(one.item)) if clean else next(answers)
            row = make_row(one, variant, clean, selection)
            if row is None:
                refused.append(Refused(one.index, variant, Reject(one.item.uri, "no_region", selection.detail)))
            else:
                rows[one.index].append(row)
        return [tuple(found) for found in rows.values() if found], refused

    def _propose(self, group: _Group) -> list[Refused]:
        """Let the pictures of a group that have no masks yet become ready."""
        ready, refused = self.propose(group.loaded)
        group.ready += ready
        group.loaded.clear()
        return refused


@dataclasses.dataclass
class _Group:
    """Pictures of one size on their way into batches."""

    loaded: list[Loaded] = dataclasses.field(default_factory=list)
    ready: list[tuple[Row, ...]] = dataclasses.field(default_factory=list)
    """The rows of each picture that has any."""

    def take(self, count: int) -> tuple[Row, ...]:
        taken, self.ready = self.ready[:count], self.ready[count:]
        return tuple(row for rows in taken for row in rows)


def loaded_bytes(part: Loaded | Refused) -> int:
    """Bytes that a picture takes at the model's size."""
    return part.item.image.nbytes if isinstance(part, Loaded) else 0


def load_picture(source: Source, index: int, policy: SizePolicy, size_multiple: int) -> Loaded | Refused:
    """Read one picture of a source and bring it to the model's size."""
    item = source[index]
    if isinstance(item, Reject):
        return Refused(index, 0, item)
    height, width = item.image.shape[:2]
    out_height, out_width = policy.target(height, width)
    if out_height % size_multiple or out_width % size_multiple:
        detail = (
            f"{out_width}x{out_height} pixels; the model takes multiples of {size_multiple}, "
            f"see size.policy ('{policy.policy}' now)"
        )
        return Refused(index, 0, Reject(item.uri, "failed", detail))
    try:
        border = resize_mask(np.zeros((height, width), np.uint8), policy) if policy.policy == "pad" else None
        return Loaded(index, resize_item(item, policy), height, width, border)
    except (ValueError, MemoryError) as error:
        detail = f"{width}x{height} pixels cannot be resized: {type(error).__name__} {error}"
        return Refused(index, 0, Reject(item.uri, "failed", detail))


def make_row(loaded: Loaded, variant: int, clean: bool, selection: Selection) -> Row | None:
    """A row, with padding ignored; None where no region was found or it lies in the padding alone."""
    mask = selection.mask
    if mask is None:
        return None
    if loaded.border is not None:
        mask = np.where(loaded.border == IGNORE, np.uint8(IGNORE), mask)
    if not clean and not (mask == ARTIFACT).any():
        return None
    return Row(loaded, variant, mask, clean, selection.facts)


def _empty(item: SourceItem) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.full(item.image.shape[:2], CLEAN, np.uint8)
