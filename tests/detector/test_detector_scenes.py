"""Scene segmentation: labels are the world's own, names are imported when asked for, its weights start a detector."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detector.__main__ import main
from detector.config import load_config
from detector.folder import RESULT
from detector.scenes import SceneDataset
from detector.tensors import read_tensors
from detector.train import WEIGHTS
from miniworld.world.objects import PARTS
from miniworld.world.render import part_labels, render
from miniworld.world.scenes import sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError

NAMES = {
    "scene": "miniworld.world.scenes:sample_scene",
    "image": "miniworld.world.render:render",
    "labels": "miniworld.world.render:part_labels",
    "names": "miniworld.world.objects:PARTS",
}


def test_scenes_are_those_of_their_seeds_the_second_time_too():
    dataset = SceneDataset(**NAMES, first_seed=100_000_000, count=3, pipeline=[])
    for _ in range(2):
        image, labels, name = dataset.load(2)
        scene = sample_scene(100_000_002)
        assert np.array_equal(image, render(scene))
        assert np.array_equal(labels, part_labels(scene))
        assert name == "100000002"
    assert dataset.metainfo["classes"] == ("ground", *PARTS)
    assert len(dataset.metainfo["palette"]) == 21


@pytest.mark.parametrize("name", ["scenes_swin_mini", "scenes_convnext_mini"])
def test_training_and_validation_scenes_lie_in_the_training_split_and_do_not_meet(name):
    config = load_config(f"configs/detector/{name}.py")
    ranges = []
    for loader in (config.train_dataloader, config.val_dataloader):
        first = loader.dataset.first_seed
        ranges.append(range(first, first + loader.dataset.count))
        assert SPLITS["train"].start <= ranges[-1].start
        assert ranges[-1].stop <= SPLITS["train"].start + SPLITS["train"].count
    assert not set(ranges[0]) & set(ranges[1])
    assert config.model.decode_head.num_classes == 1 + len(PARTS)


def test_names_that_lead_nowhere():
    with pytest.raises(ConfigError, match="names have the form module:attribute"):
        SceneDataset(**{**NAMES, "image": "miniworld.world.render:paint_it"}, first_seed=0, count=1, pipeline=[])


def test_a_detector_starts_from_segmented_scenes(squares, overrides, tmp_path, capsys):
    def command(verb, config, out, *more):
        sets = [word for text in overrides if not text.startswith("initialise") for word in ("--set", text)]
        return main([verb, config, "--out", str(tmp_path / out), "--iterations", "2", *sets, *more])

    few = ("--set", "train_dataloader.dataset.count=8", "--set", "val_dataloader.dataset.count=4")
    assert command("pretrain", "configs/detector/scenes_swin_mini.py", "scenes", *few) == 0
    assert "mean_class_iou" in (tmp_path / "scenes" / RESULT).read_text()
    start = tmp_path / "start.safetensors"
    assert main(["export", str(tmp_path / "scenes" / WEIGHTS), "--out", str(start), "--half"]) == 0
    shards = str(squares(tmp_path / "shards", 8))
    frozen = ("--set", f"initialise.source={start}", "--set", "optim_wrapper.optimizer.lr=1e-12")
    assert command("train", "configs/detector/swin_mini.py", "detector", "--shards", shards, *frozen) == 0
    begun, ended = read_tensors(start)[0], read_tensors(tmp_path / "detector" / WEIGHTS)[0]
    for name, value in ended.items():
        if "conv_seg" not in name and "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(value.numpy(), begun[name].numpy(), atol=1e-6)
    assert len(json.loads((tmp_path / "detector" / RESULT).read_text())["initialised_from"]["sha256"]) == 64
    # A network of 21 classes is no detector.
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "scenes" / WEIGHTS), shards, "--out", str(tmp_path / "seen")]) == 2
    assert "tells 21 classes apart" in capsys.readouterr().err
