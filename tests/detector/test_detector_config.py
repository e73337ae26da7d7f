"""Every config builds, overrides that name nothing are refused, schedules follow the iterations."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.checkpoint import build_model
from detector.config import initial_options, load_config
from detector.train import Job, make_card
from shards.config import INSTALLED
from shards.errors import ConfigError, MissingInputError

CONFIGS = sorted(path.name for path in (INSTALLED / "configs/detector").glob("*.py") if path.name != "base.py")
MINI = "configs/detector/swin_mini.py"
# Millions of parameters: mmseg's Swin-T UPerNet with its auxiliary head has 59.8 M for 150 classes (the two classifiers
# account for 0.1 M), ConvNeXt-T UPerNet 60.1 M.
SIZES = {
    "swin_t": 59.83,
    "convnext_t": 60.13,
    "pal_unified": 59.83,
    "pal_specialist": 59.83,
    "pal_ten_shot": 59.83,
    "swin_mini": 1.5,
    "convnext_mini": 1.29,
    "probe": 0.02,
    "mask2former_mini": 2.26,
    "msr_mini": 2.26,
    "msr_mini_outlines": 2.26,
    "msr_r101": 63.03,
    "msr_maskformer_r101": 60.3,
    "msr_swin_b": 106.92,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_model(name):
    config = load_config(f"configs/detector/{name}")
    model = build_model(make_card(Job(config, name, Path())))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[name.removesuffix(".py").removeprefix("scenes_")], abs=0.02)
    initial_options(config)


def test_the_papers_settings():
    config = load_config("configs/detector/swin_t.py")
    assert config.train_cfg.max_iters == 10000
    assert config.train_dataloader.batch_size == 8
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.betas, optimizer.weight_decay) == (
        "AdamW",
        6e-5,
        (0.9, 0.999),
        0.01,
    )
    kinds = [step["type"] for step in config.train_pipeline]
    assert kinds[:3] == ["RandomResize", "RandomCrop", "RandomFlip"]
    pal = load_config("configs/detector/pal_unified.py")
    assert pal.optim_wrapper.paramwise_cfg.custom_keys["head"] == {"lr_mult": 10.0}
    assert (pal.train_cfg.max_iters, pal.param_scheduler[1].end) == (20000, 160000)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "mini" in name])
def test_nothing_is_mirrored_in_the_embedded_world(name):
    config = load_config(f"configs/detector/{name}")
    assert "RandomFlip" not in [step["type"] for step in config.train_dataloader.dataset.pipeline]


def test_iterations_bring_the_schedule_along():
    config = load_config("configs/detector/swin_t.py", iterations=1000)
    assert (config.train_cfg.max_iters, config.train_cfg.val_interval) == (1000, 50)
    assert [(s.begin, s.end) for s in config.param_scheduler] == [(0, 150), (150, 1000)]
    with pytest.raises(ConfigError, match="iterations must be 1 or more, at most 100000000, got 0"):
        load_config(MINI, iterations=0)


def test_overrides_set_values_in_dicts_and_lists():
    config = load_config(MINI, ["optim_wrapper.optimizer.lr=1e-3", "param_scheduler.0.end=7", "initialise=None"])
    assert config.optim_wrapper.optimizer.lr == 1e-3
    assert config.param_scheduler[0].end == 7
    assert initial_options(config) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim_wrapper.optimiser.lr=1", "no 'optim_wrapper.optimiser'; did you mean 'optimizer'"),
        ("param_scheduler.5.end=7", "no 'param_scheduler.5'"),
        ("image_size=big", "expected int such as 64, got str 'big'"),
        ("image_size.x=3", "image_size is the value 64"),
        ("image_size", "not of the form NAME=VALUE"),
    ],
)
def test_overrides_that_name_nothing(text, words):
    with pytest.raises(ConfigError, match=words):
        load_config(MINI, [text])


def test_configs_that_are_not_there_or_no_detectors(tmp_path):
    with pytest.raises(MissingInputError, match=r"swin_mini\.py"):
        load_config("configs/detector/swin_minni.py")
    (tmp_path / "half.py").write_text("model = dict()\n")
    with pytest.raises(ConfigError, match="has no `image_size`"):
        load_config(tmp_path / "half.py")
    (tmp_path / "bad.py").write_text("model = undefined\n")
    with pytest.raises(ConfigError, match="NameError"):
        load_config(tmp_path / "bad.py")


def test_an_unknown_key_of_initialise_names_the_nearest():
    config = load_config(MINI)
    config.initialise["sorce"] = "x"
    with pytest.raises(ConfigError, match="did you mean 'source'"):
        initial_options(config)
