"""Small sets of shards, and the small detectors made smaller, so that a training takes seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards.schema import Meta, Sample, SourceMeta, make_key
from shards.writer import RunInfo, RunWriter

TINY_SWIN = (
    "initialise=None",
    "image_size=32",
    "log_every=2",
    "state_every=2",
    "model.backbone.embed_dims=8",
    "model.backbone.depths=[1, 1, 1, 1]",
    "model.backbone.num_heads=[1, 1, 2, 2]",
    "model.decode_head.in_channels=[8, 16, 32, 64]",
    "model.decode_head.channels=8",
    "model.auxiliary_head.in_channels=32",
    "model.auxiliary_head.channels=8",
    "model.data_preprocessor.size=(24, 24)",
    "train_dataloader.batch_size=4",
    "train_dataloader.dataset.pipeline.0.crop_size=(24, 24)",
    "val_dataloader.dataset.pipeline.0.size=32",
)


def picture(seed: int, side: int, artifact: bool) -> Sample:
    """Grey noise, with a red square where it is broken."""
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.integers(90, 160, (side, side, 1), dtype=np.uint8), 3, axis=2)
    mask = np.zeros((side, side), np.uint8)
    if artifact:
        y, x = rng.integers(2, side - 12, 2)
        image[y : y + 9, x : x + 9] = [220, 30, 30]
        mask[y : y + 9, x : x + 9] = 1
    label = "artifact" if artifact else "clean"
    return Sample(make_key(0, seed), image, mask, Meta(label, SourceMeta("squares", f"square:{seed}", f"{seed:064x}")))


def write_squares(out: Path, count: int = 16, side: int = 32, every: int = 2) -> Path:
    """A finished run of one shard; one sample in `every` is clean, none where that is 0, all where it is 1."""
    run = RunWriter(out, RunInfo({"count": count, "every": every}, {"name": "squares", "items": count}, 1))
    with run.shard(0) as shard:
        for row in range(count):
            sample = picture(row, side, artifact=every == 0 or row % every != 0)
            shard.write(dataclasses.replace(sample, key=make_key(0, row)))
    run.finalise()
    return out


@pytest.fixture
def squares() -> Callable[..., Path]:
    return write_squares


@pytest.fixture
def overrides() -> tuple[str, ...]:
    return TINY_SWIN


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny training with validation."""
    from detector.config import load_config
    from detector.train import Job, train

    folder = tmp_path_factory.mktemp("trained")
    config = load_config("configs/detector/swin_mini.py", TINY_SWIN, 4)
    shards = write_squares(folder / "shards", 16)
    train(Job(config, "swin_mini", folder / "out", (str(shards),), (str(shards),)))
    return folder / "out"
