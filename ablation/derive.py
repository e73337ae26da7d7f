"""Samples of other shards once more: with the oracle's masks, or each with its clean twin beside it.

Rows of a shard are written in their order, a twin right after its sample; nothing else of a sample changes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from ablation.stages import Data
from shards.errors import ConfigError
from shards.masks import ARTIFACT, U8
from shards.reader import ShardReader
from shards.schema import CorruptionMeta, Sample, make_key
from shards.writer import RunInfo, RunWriter

ROWS = 100
"""Samples of the origin a shard."""


def open_derived(data: Data, folder: Path, out: Path, relabel: str, twins: bool) -> RunWriter:
    """The run, new or resumed."""
    reader = ShardReader(folder)
    config = {"of": data.identity, "relabel": relabel, "twins": twins}
    source = {"name": "shards", "items": len(reader), "fingerprint": data.identity}
    return RunWriter(out, RunInfo(config, source, -(-len(reader) // ROWS), "Blemish ablation, derived samples"))


def make_derived(run: RunWriter, folder: Path, relabel: str, twins: bool, rank: int, num_processes: int) -> None:
    """This process's share of the shards. Raises ConfigError where the oracle cannot know a sample's scene."""
    reader = ShardReader(folder)
    for shard in run.todo():
        if shard % num_processes != rank:
            continue
        with run.shard(shard) as out:
            indices = range(shard * ROWS, min((shard + 1) * ROWS, len(reader)))
            made = (sample for index in indices for sample in derived(reader[index], relabel, twins))
            for row, sample in enumerate(made):
                out.write(dataclasses.replace(sample, key=make_key(shard, row)))


def derived(sample: Sample, relabel: str, twins: bool) -> list[Sample]:
    """What becomes of one sample. Raises ConfigError where it has no scene or no twin."""
    if relabel == "oracle":
        sample = labelled(sample, oracle_mask(sample))
    if not twins or sample.meta.label != "artifact":
        return [sample]
    if sample.source is None:
        raise ConfigError(f"sample {sample.key} has no twin; make the shards with samples.source_twin=True")
    meta = dataclasses.replace(sample.meta, corruption=CorruptionMeta(), cells="")
    clean = dataclasses.replace(sample, image=sample.source, meta=meta)
    return [sample, labelled(clean, np.zeros_like(sample.mask))]


def labelled(sample: Sample, mask: U8) -> Sample:
    """The sample with this mask."""
    label: Literal["artifact", "clean"] = "artifact" if (mask == ARTIFACT).any() else "clean"
    # Boxes are those of the mask that was proposed: those of the new one are found when it is written.
    return dataclasses.replace(sample, mask=mask, meta=dataclasses.replace(sample.meta, label=label, components=()))


def oracle_mask(sample: Sample) -> U8:
    """uint8 HW, 1 where the embedded world's oracle sees a fault. Raises ConfigError for pictures of other worlds."""
    from miniworld.oracle.explain import explain
    from miniworld.world.scenes import scene_from_dict

    if not sample.meta.scene and not sample.meta.source.set.startswith("miniworld"):
        raise ConfigError(f"sample {sample.key} shows no scene; the oracle labels pictures of the embedded world only")
    start = scene_from_dict(sample.meta.scene) if sample.meta.scene else None
    return np.asarray(explain(sample.image, start).mask, np.uint8)
