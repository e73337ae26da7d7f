"""Samples once more: the oracle's masks, clean twins, shams, what verification dropped."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from ablation_tools import grid_of, make_pipeline

from ablation.derive import derived, ignoring_dropped
from ablation.plan import make_plan
from ablation.stages import Data, DerivedWork, is_done
from ablation.work import perform, tasks_of
from detector.data import ShardDataset
from miniworld.source import MiniworldSource
from shards.check import check_run
from shards.errors import ConfigError
from shards.masks import pack_cells
from shards.reader import ShardReader
from shards.schema import Meta, Sample, SourceMeta, decode_sample, encode_sample

HERE = Data("", "")
ORACLE, TWINS = DerivedWork(HERE, relabel="oracle"), DerivedWork(HERE, twins=True)


def scene(label: int) -> Sample:
    """A faultless scene whose mask says what `label` says."""
    item = MiniworldSource(count=1)[0]
    mask = np.zeros(item.image.shape[:2], np.uint8)
    mask[:8, :8] = label
    source = SourceMeta("miniworld", item.uri, item.sha256)
    meta = Meta(label="artifact" if label == 1 else "clean", source=source, scene=dict(item.scene))
    return Sample("00000_00000", item.image, mask, meta, item.image)


def test_the_oracle_takes_a_label_away():
    (made,) = derived(scene(1), ORACLE)
    assert made.meta.label == "clean"
    assert not made.mask.any()
    assert decode_sample(made.key, encode_sample(made)).meta.mask.artifact_pixels == 0


def test_a_twin_of_a_broken_picture_only():
    sample = scene(1)
    kept, twin = derived(sample, TWINS)
    assert kept is sample
    assert (twin.meta.label, twin.mask.any()) == ("clean", False)
    np.testing.assert_array_equal(twin.image, sample.source)
    assert derived(scene(0), TWINS)[0].meta.label == "clean"
    assert len(derived(scene(0), TWINS)) == 1
    with pytest.raises(ConfigError, match="has no twin"):
        derived(dataclasses.replace(sample, source=None), TWINS)


def test_the_oracle_knows_one_world(sample: Callable[..., Sample]):
    with pytest.raises(ConfigError, match="the oracle labels pictures of the embedded world only"):
        derived(sample(), ORACLE)


def test_dropped_regions_are_ignored_where_others_are_left():
    proposed = np.zeros((64, 64), bool)
    proposed[:10, :10] = proposed[20:24, 20:24] = True
    meta = dataclasses.replace(scene(1).meta, extra={"proposed_mask": pack_cells(proposed)})
    sample = dataclasses.replace(scene(1), meta=meta)
    mask = ignoring_dropped(sample)
    assert (mask == 255).sum() == 16
    assert (mask[20:24, 20:24] == 255).all()
    assert (mask == 1).sum() == 64  # trimmed pixels of the kept region stay clean
    np.testing.assert_array_equal(ignoring_dropped(scene(1)), scene(1).mask)


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Plan and stages of arms with negatives, their trainings left out. Random weights: thresholds at the median."""
    folder = tmp_path_factory.mktemp("negatives")
    half = ["corruption.verification={'policy': 'drop', 'threshold': 75.0}", "samples.clean_share=0.2"]
    arms = [
        {"name": "own", "set": half},
        {"name": "shams", "set": half, "shams": True, "twins": True},
        {"name": "clean", "set": half, "dropped": "clean"},
    ]
    plan = make_plan(grid_of(make_pipeline(folder / "tiny"), arms=arms, compare=[]))
    todo = [task for task in tasks_of(plan, folder, 1) if "train" not in task.title]
    while todo:
        ready = next(task for task in todo if all(is_done(folder, need) for need in task.needs))
        perform(ready, plan, folder)
        todo.remove(ready)
    return plan, folder


def read(negatives: tuple[Any, Path], arm: str) -> ShardReader:
    plan, folder = negatives
    run = plan.data[arm].folder(folder)
    assert check_run(run).ok
    return ShardReader(run)


def test_shams_and_twins_stand_after_their_sample(negatives: tuple[Any, Path]):
    own, more = read(negatives, "own"), read(negatives, "shams")
    kinds = [own.meta(i).label for i in range(len(own))]
    assert 0 < kinds.count("artifact") < 16  # else the threshold tells nothing apart
    wanted = [label for kind in kinds for label in (["artifact", "clean", "clean"] if kind == "artifact" else [kind])]
    assert [more.meta(i).label for i in range(len(more))] == wanted
    at = wanted.index("artifact")
    sample, twin, sham = (more[at + i] for i in range(3))
    np.testing.assert_array_equal(twin.image, sample.source)
    np.testing.assert_array_equal(sham.source, sample.source)
    assert not sham.mask.any()
    assert sham.meta.corruption.method == "none"
    assert (sham.image != sample.image).any()
    groups = ShardDataset(negatives[0].data["shams"].folder(negatives[1]), []).groups()
    assert np.bincount(groups).tolist() == [3 if kind == "artifact" else 1 for kind in kinds]


def test_pictures_of_which_nothing_was_left_come_in_as_clean(negatives: tuple[Any, Path]):
    own, more = read(negatives, "own"), read(negatives, "clean")
    assert len(own) < len(more) == 16
    seen = {own.meta(i).source.uri: own.meta(i).label for i in range(len(own))}
    uris = [more.meta(i).source.uri for i in range(16)]
    assert uris == sorted(uris)
    assert [more.meta(i).label for i in range(16)] == [seen.get(uri, "clean") for uri in uris]
    new = next(i for i, uri in enumerate(uris) if uri not in seen)
    assert more.meta(new).corruption.injected
    assert not more.mask(new).any()
