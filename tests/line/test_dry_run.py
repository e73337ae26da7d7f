"""A plan says what is missing, what is too small and how much disk it takes, before anything is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corruptor.hub import locate
from corruptor.line.command import dry_run, make_shards
from corruptor.line.config import LineConfig, ModelConfig
from corruptor.line.ready import model_remark
from region_select.selector import find_weights
from shards.errors import MissingInputError
from shards.reader import ShardReader

ConfigOf = Callable[..., LineConfig]


def test_a_model_that_is_missing_is_not_ready(config_of: ConfigOf, tiny_model: Path, tmp_path: Path):
    assert dry_run(config_of(), tmp_path / "run").ready
    planned = dry_run(config_of(model={"folder": str(tmp_path / "nothing")}), tmp_path / "run")
    assert not planned.ready
    assert re.search(r"NOT READY: no model folder .*nothing", planned.summary)
    (tmp_path / "empty").mkdir()
    assert "no model_index.json" in model_remark(ModelConfig(str(tmp_path / "empty")))
    assert "no model file" in model_remark(ModelConfig(str(tmp_path / "a.safetensors")))
    assert model_remark(ModelConfig(str(tiny_model))) == ""


def test_a_folder_that_is_not_here_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model folder models/stable-diffusion-v1-5: give") as error:
        locate("models/stable-diffusion-v1-5")
    assert "hf download" not in str(error.value)


@pytest.mark.parametrize(
    ("weights", "command"),
    [
        ("out/region_select/swin_t", "make region-select MODEL=swin_t SELECTED=out/region_select/swin_t LABELS=DIR"),
        (
            "mine/convnext_t/selector.safetensors",
            "make region-select MODEL=convnext_t SELECTED=mine/convnext_t ",
        ),
        ("region_select/weights/swin_tiny.safetensors", "make region_select/weights/swin_tiny.safetensors`"),
        (
            "mine/other",
            "blemish regions train configs/region_select/swin_mini.py --labels DIR --out mine",
        ),
    ],
)
def test_the_advice_makes_the_selector_that_is_missing(weights: str, command: str):
    with pytest.raises(MissingInputError, match=re.escape(command)):
        find_weights(weights)


@pytest.fixture
def small_pictures(tmp_path: Path) -> Path:
    """Four pictures of noise: two larger than the model takes them, of 25 x 24 and of 16 x 30 pixels."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number, (height, width) in enumerate([(40, 48), (24, 25), (32, 64), (30, 16)]):
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_pictures_that_are_enlarged_are_counted(config_of: ConfigOf, small_pictures: Path, tmp_path: Path):
    config = config_of(
        source={"name": "folder", "options": {"root": str(small_pictures)}},
        samples={"clean_share": 0.0},
        corruption={"injection": {"start_step": 47}, "verification": {"policy": "keep"}},
    )
    words = dry_run(config, tmp_path / "run").summary
    assert "2 of 4 pictures looked at are smaller than the 32 x 32 they are used at" in words
    assert "the smallest 16 x 30" in words
    assert "2 samples are of pictures that were enlarged, the smallest 16 x 30" in make_shards(config, tmp_path / "run")
    reader = ShardReader(tmp_path / "run")
    enlarged = {reader.meta(i).source.uri: reader.meta(i).extra.get("enlarged") for i in range(len(reader))}
    assert enlarged == {"0.png": None, "1.png": 1.3333, "2.png": None, "3.png": 2.0}


def test_the_disk_that_is_planned_is_what_pictures_take(config_of: ConfigOf, small_pictures: Path, tmp_path: Path):
    def planned(**samples: object) -> float:
        config = config_of(
            source={"name": "folder", "options": {"root": str(small_pictures)}},
            samples={"clean_share": 0.0, "source_twin": False, **samples},
        )
        found = re.search(r"disk: about ([\d.]+) MB should every row", dry_run(config, tmp_path / "run").summary)
        assert found is not None
        return float(found[1]) * 1e6

    # Noise of 32 x 32 pixels takes its 3 KB, beside 6 KB of mask and facts; photographs would take 1.3 KB.
    assert planned(num_variants=100) == pytest.approx(400 * (3072 + 6000), rel=0.1)
    assert planned(num_variants=100, codec="jpg") < planned(num_variants=100)
