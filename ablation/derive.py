"""Samples of other shards once more: with the oracle's masks, without what verification dropped, with negatives.

Negatives are clean samples that were made beside those with artifacts: the clean twin, the sham (the same row with
nothing injected), and rows of which verification left nothing. A twin or a sham stands right after its sample, a row of
which nothing was left in its own place; nothing else of a sample changes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ablation.stages import DerivedWork
from shards.errors import ConfigError
from shards.masks import ARTIFACT, IGNORE, U8, label_components, unpack_cells
from shards.reader import ShardReader
from shards.schema import CorruptionMeta, Sample, make_key
from shards.writer import RunInfo, RunWriter

ROWS = 100
"""Samples of the origin a shard."""


@dataclass
class Derivation:
    """One derived set: what is asked for, and the folder of all stages."""

    work: DerivedWork
    stages: Path

    @cached_property
    def own(self) -> ShardReader:
        return ShardReader(self.work.data.folder(self.stages))

    @cached_property
    def shams(self) -> ShardReader | None:
        return ShardReader(self.work.shams.folder(self.stages)) if self.work.shams else None

    @cached_property
    def place_of_sham(self) -> dict[str, int]:
        """By key."""
        return {self.shams.key(i): i for i in range(len(self.shams))} if self.shams is not None else {}

    @cached_property
    def kept(self) -> ShardReader:
        """The run whose every row became a sample; the own one where none is asked for."""
        return ShardReader(self.work.kept.folder(self.stages)) if self.work.kept else self.own

    @cached_property
    def rows(self) -> list[tuple[int, bool]]:
        """Places in their order: in `own`, or, marked True, in `kept` where verification left nothing."""
        own = {self.own.key(i): (i, False) for i in range(len(self.own))}
        all_rows = {self.kept.key(i): (i, True) for i in range(len(self.kept))} | own
        return [all_rows[key] for key in sorted(all_rows)]

    def open(self, out: Path) -> RunWriter:
        """The run, new or resumed."""
        work = self.work
        config = {"of": work.data.identity, "relabel": work.relabel, "twins": work.twins, **work.more()}
        source = {"name": "shards", "items": len(self.rows), "fingerprint": work.data.identity}
        title = "Blemish ablation, derived samples"
        return RunWriter(out, RunInfo(config, source, -(-len(self.rows) // ROWS), title))

    def make(self, run: RunWriter, rank: int, num_processes: int) -> None:
        """This process's share of the shards. Raises ConfigError where a sample lacks what is asked for."""
        for shard in run.todo():
            if shard % num_processes != rank:
                continue
            with run.shard(shard) as out:
                rows = self.rows[shard * ROWS : (shard + 1) * ROWS]
                made = (sample for row in rows for sample in self.samples(*row))
                for row, sample in enumerate(made):
                    out.write(dataclasses.replace(sample, key=make_key(shard, row)))

    def samples(self, place: int, is_unchanged: bool) -> list[Sample]:
        """What becomes of one row."""
        if is_unchanged:
            return [emptied(self.kept[place])]
        sample = self.own[place]
        at = self.place_of_sham.get(sample.key)  # a sham that could not be made is among the rejects of its run
        sham = self.shams[at] if self.shams is not None and at is not None else None
        return derived(sample, self.work, sham)


def derived(sample: Sample, work: DerivedWork, sham: Sample | None = None) -> list[Sample]:
    """What becomes of one sample and its sham. Raises ConfigError where it has no scene or no twin."""
    if work.relabel == "oracle":
        sample = labelled(sample, oracle_mask(sample))
    if work.ignore_dropped:
        sample = labelled(sample, ignoring_dropped(sample))
    if sample.meta.label != "artifact":
        return [sample]
    twins = [twin_of(sample)] if work.twins else []
    return [sample, *twins, *([emptied(sham)] if sham is not None else [])]


def twin_of(sample: Sample) -> Sample:
    """The clean twin as a clean sample. Raises ConfigError where there is none."""
    if sample.source is None:
        raise ConfigError(f"sample {sample.key} has no twin; make the shards with samples.source_twin=True")
    meta = dataclasses.replace(sample.meta, corruption=CorruptionMeta(), cells="")
    return emptied(dataclasses.replace(sample, image=sample.source, meta=meta))


def emptied(sample: Sample) -> Sample:
    """The sample as a clean one."""
    return labelled(sample, np.zeros_like(sample.mask))


def labelled(sample: Sample, mask: U8) -> Sample:
    """The sample with this mask."""
    label: Literal["artifact", "clean"] = "artifact" if (mask == ARTIFACT).any() else "clean"
    # Boxes are those of the mask that was proposed: those of the new one are found when it is written.
    return dataclasses.replace(sample, mask=mask, meta=dataclasses.replace(sample.meta, label=label, components=()))


def ignoring_dropped(sample: Sample) -> U8:
    """uint8 HW: the mask, with proposed regions of which nothing is left in it ignored (255)."""
    proposed = unpack_cells(sample.meta.extra.get("proposed_mask", ""))
    if proposed.shape != sample.mask.shape:  # it is there only where the mask is another
        return sample.mask
    labels, _ = label_components(proposed)
    dropped = (labels > 0) & ~np.isin(labels, labels[sample.mask == ARTIFACT]) & (sample.mask != ARTIFACT)
    return np.where(dropped, np.uint8(IGNORE), sample.mask)


def oracle_mask(sample: Sample) -> U8:
    """uint8 HW, 1 where the embedded world's oracle sees a fault. Raises ConfigError for pictures of other worlds."""
    from miniworld.oracle.explain import explain
    from miniworld.world.scenes import scene_from_dict

    if not sample.meta.scene and not sample.meta.source.set.startswith("miniworld"):
        raise ConfigError(f"sample {sample.key} shows no scene; the oracle labels pictures of the embedded world only")
    start = scene_from_dict(sample.meta.scene) if sample.meta.scene else None
    return np.asarray(explain(sample.image, start).mask, np.uint8)
