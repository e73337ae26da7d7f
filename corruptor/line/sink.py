"""The last part of the line: encode samples in threads, write rows in order, close shards.

Rows may arrive out of order within a shard (batches hold pictures of one size); each waits until all before it are
settled, so that a tar's order is that of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from corruptor.line.batch import Done, Refused
from corruptor.line.meter import SAMPLE, UNMADE
from corruptor.line.plan import Plan
from shards.masks import ARTIFACT
from shards.schema import Sample, encode_sample, parse_key
from shards.writer import RunWriter, ShardWriter


@dataclass(frozen=True)
class Encoded:
    """A sample as the members of a tar."""

    key: str
    members: dict[str, bytes]
    artifact: bool


Settled = Encoded | Refused


@dataclass
class Sink:
    """Writes what the workers have done. `settled` is called with a number of rows and what they became, see Meter;
    `closed` with each shard once it is done."""

    run: RunWriter
    plan: Plan
    num_encoders: int
    settled: Callable[[int, str], None]
    closed: Callable[[int], None] = lambda shard: None

    def consume(self, works: Iterator[Done]) -> None:
        """Write all shards; `works` brings each shard's work together, shard after shard.

        Raises OutputError. Whatever is raised, a shard that is not complete does not appear.
        """
        with ThreadPoolExecutor(self.num_encoders, "encoder") as pool:
            for work in works:
                self._shard(pool, work, works)

    def _shard(self, pool: ThreadPoolExecutor, first: Done, works: Iterator[Done]) -> None:
        waiting: dict[int, Settled] = {}
        row, num_rows = 0, self.plan.num_rows(first.shard)
        with self.run.shard(first.shard) as shard:
            work = first
            while True:
                waiting.update(self._settle(pool, work))
                while row in waiting:
                    self.settled(1, write_row(shard, waiting.pop(row)))
                    row += 1
                if row == num_rows:
                    break
                work = next(works)
                if work.shard != first.shard:
                    raise AssertionError(f"shard {work.shard} began before shard {first.shard} was complete")
        self.closed(first.shard)

    def _settle(self, pool: ThreadPoolExecutor, work: Done) -> dict[int, Settled]:
        futures: list[Future[Encoded]] = [pool.submit(self.encode, sample) for sample in work.samples]
        settled: dict[int, Settled] = {self.plan.place(one.index, one.variant)[1]: one for one in work.refused}
        for sample, future in zip(work.samples, futures, strict=True):
            settled[parse_key(sample.key)[1]] = future.result()
        return settled

    def encode(self, sample: Sample) -> Encoded:
        members = encode_sample(sample, self.run.codec)
        return Encoded(sample.key, members, bool((sample.mask == ARTIFACT).any()))


def write_row(shard: ShardWriter, settled: Settled) -> str:
    """Write a row; returns what it became."""
    if isinstance(settled, Encoded):
        shard.write_members(settled.key, settled.members, artifact=settled.artifact)
        return SAMPLE
    if settled.reject is None:
        return UNMADE
    shard.reject(settled.reject, settled.index, settled.variant)
    return settled.reject.reason
