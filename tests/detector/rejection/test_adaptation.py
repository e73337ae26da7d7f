"""Adapting a segmenter on labelled shards: what learns, what stays, and that a stopped run ends as an unstopped one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tiny_network
from red_squares import write_squares

from detector.config import load_config
from detector.errors import CheckpointError
from detector.heat import Detector
from detector.rejection.hub import read_segmenter
from detector.rejection.names import learns
from detector.tensors import read_tensors
from detector.train import Job, train
from shards.errors import ConfigError, MissingInputError

CONFIG = "configs/detector/msr_mini.py"


def job(folder, source, shards, iterations=2, *more):
    config = load_config(CONFIG, (*tiny_network.overrides(source), *more), iterations)
    return Job(config, "msr_mini", folder, (str(shards),), (str(shards),))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares") / "shards", 4)


@pytest.fixture(scope="module")
def adapted(segmenter_folder, shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapted") / "out"
    train(job(out, segmenter_folder, shards))
    return out


def test_only_queries_and_class_head_learn(segmenter_folder, adapted):
    before, _ = read_segmenter(segmenter_folder)
    after, card = read_tensors(adapted / "weights.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {name for name in before if learns(name)}
    assert len(moved) == 4
    assert card is not None
    assert card.classes == ("clean", "artifact")
    assert "rejection_loss" not in card.model


def test_it_is_a_detector_like_the_others(adapted):
    picture = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    heat = Detector(adapted / "weights.safetensors", device="cpu").heat([picture])[0]
    assert heat.shape == (48, 40)
    assert 0 <= heat.min() < heat.max() <= 1


class Stopped(Exception):
    """Stands for a kill."""


def test_a_stopped_run_ends_as_an_unstopped_one(segmenter_folder, shards, adapted, tmp_path, monkeypatch):
    from detector.hooks import StateHook

    after_step = StateHook.after_step

    def stop(self, runner):
        after_step(self, runner)
        if runner.iter == 1:
            raise Stopped

    monkeypatch.setattr(StateHook, "after_step", stop)
    with pytest.raises(Stopped):
        train(job(tmp_path / "out", segmenter_folder, shards))
    monkeypatch.setattr(StateHook, "after_step", after_step)
    train(job(tmp_path / "out", segmenter_folder, shards), resume=True)
    assert (tmp_path / "out" / "weights.safetensors").read_bytes() == (adapted / "weights.safetensors").read_bytes()


def test_labels_that_are_all_clean_or_all_artifact(segmenter_folder, tmp_path):
    """All artifact is learned from, and stays finite; all clean is refused, as for every detector."""
    full = write_squares(tmp_path / "full", 4, every=0)
    record = train(job(tmp_path / "out", segmenter_folder, full, 1))
    assert record["iterations"] == 1
    with pytest.raises(ValueError, match="artifact"):
        train(job(tmp_path / "clean", segmenter_folder, write_squares(tmp_path / "none", 4, every=1), 1))


def test_starts_that_do_not_fit(segmenter_folder, shards, tmp_path):
    with pytest.raises(CheckpointError, match="another architecture"):
        train(job(tmp_path / "a", segmenter_folder, shards, 1, "model.network.options.num_queries=6"))
    with pytest.raises(MissingInputError, match="make detector/weights/segmenter_mini"):
        train(job(tmp_path / "b", tmp_path / "none", shards, 1))
    with pytest.raises(ConfigError, match="margin"):
        train(job(tmp_path / "c", segmenter_folder, shards, 1, "model.rejection_loss.margin=2.0"))
    copy = tmp_path / "copy"
    shutil.copytree(segmenter_folder, copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="to have queries"):
        train(job(tmp_path / "d", copy, shards, 1))
    assert not any((tmp_path / name).exists() for name in "abcd")
