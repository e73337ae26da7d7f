"""The middle of the line: a batch of rows through the model. One bad picture never costs its neighbours theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corruptor.backbone import Backbone
from corruptor.corrupt import corrupt
from corruptor.finish import NOBODY, CorruptedBatch, Judges
from corruptor.line.batch import Batch, Done, Refused, Row
from corruptor.line.config import LineConfig, SamplesConfig
from corruptor.line.plan import Plan, noise_seed
from corruptor.line.prompt import without
from corruptor.line.record import Recorder
from shards.masks import ARTIFACT
from shards.schema import Sample
from shards.source import Reject


@dataclass
class Worker:
    """Makes samples of batches."""

    backbone: Backbone
    config: LineConfig
    plan: Plan
    recorder: Recorder
    judges: Judges = NOBODY
    """What `verification` asks for beside the change of pixels."""

    def work(self, batch: Batch) -> Done:
        """All rows of the batch, each as a sample or as a refusal."""
        samples: list[Sample] = []
        refused = list(batch.refused)
        for result in self._finish(_by_source(batch.rows)):
            if isinstance(result, Sample):
                samples.append(result)
            else:
                refused.append(result)
        return Done(batch.shard, tuple(samples), tuple(refused))

    def _finish(self, sources: list[list[Row]]) -> list[Sample | Refused]:
        """Corrupt the pictures; where the model fails, halve the batch until the culprit is alone."""
        if not sources:
            return []
        rows = [row for source in sources for row in source]
        try:
            done = self.corrupt_rows(sources)
        except (FloatingPointError, torch.OutOfMemoryError) as error:
            if len(sources) > 1:
                middle = len(sources) // 2
                return self._finish(sources[:middle]) + self._finish(sources[middle:])
            reason = "not_finite" if isinstance(error, FloatingPointError) else "failed"
            detail = str(error).splitlines()[0]
            return [Refused(r.loaded.index, r.variant, Reject(r.loaded.item.uri, reason, detail)) for r in rows]
        return [self._result(row, done, place) for place, row in enumerate(rows)]

    def corrupt_rows(self, sources: list[list[Row]]) -> CorruptedBatch:
        """The rows of these source pictures, in order; what a worker that shares results does otherwise."""
        firsts = [source[0].loaded.item for source in sources]
        rows = [(place, row) for place, source in enumerate(sources) for row in source]
        return corrupt(
            self.backbone,
            torch.from_numpy(np.stack([item.image for item in firsts])),
            torch.from_numpy(np.stack([row.mask for _, row in rows])),
            [self.config.samples.prompt_of(item.caption) for item in firsts],
            [noise_seed(self.config.seed, row.loaded.item, row.variant) for _, row in rows],
            self.config.corruption,
            [place for place, _ in rows],
            self.judges,
            [prompt_without(self.config.samples, row) for _, row in rows],
        )

    def _result(self, row: Row, done: CorruptedBatch, place: int) -> Sample | Refused:
        numbers = done.verifications[place]
        if not row.clean and not numbers.num_components_kept:
            strongest = max((component.change_inside for component in numbers.components), default=0.0)
            detail = f"strongest of {numbers.num_components} components changed by {strongest:.3g} of 255 on average"
            reject = Reject(row.loaded.item.uri, "below_threshold", detail)
            return Refused(row.loaded.index, row.variant, reject)
        return self.recorder.sample(row, done, place)


def prompt_without(samples: SamplesConfig, row: Row) -> str:
    """The prompt of a row without what its mask covers, as far as the region policy or the source names that."""
    item, inside = row.loaded.item, row.mask == ARTIFACT
    named = [region.name for region in item.regions if (inside & (region.mask == ARTIFACT)).any()]
    phrases = row.facts.get("phrases", ())
    return samples.prompt_of(without(item.caption, [*named, *(phrases if isinstance(phrases, (list, tuple)) else ())]))


def _by_source(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one source are neighbours in a batch."""
    sources: list[list[Row]] = []
    for row in rows:
        if sources and sources[-1][0].loaded.index == row.loaded.index:
            sources[-1].append(row)
        else:
            sources.append([row])
    return sources
