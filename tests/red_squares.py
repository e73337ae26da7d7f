"""Pictures whose fault is a red square, sets of them, and a small network made smaller: training takes seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from shards.schema import Meta, Sample, SourceMeta, make_key
from shards.writer import RunInfo, RunWriter

SIDE = 32
TINY_SWIN = (
    "initialise=None",
    f"image_size={SIDE}",
    "log_every=2",
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
    f"val_dataloader.dataset.pipeline.0.size={SIDE}",
)
"overrides for the configs of detectors and selectors"


def picture(seed: int, broken: bool, side: int = SIDE) -> Sample:
    """Grey noise, with a red square where it is broken."""
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.integers(90, 160, (side, side, 1), dtype=np.uint8), 3, axis=2)
    mask = np.zeros((side, side), np.uint8)
    if broken:
        y, x = rng.integers(2, side - 12, 2)
        image[y : y + 9, x : x + 9] = [220, 30, 30]
        mask[y : y + 9, x : x + 9] = 1
    label = "artifact" if broken else "clean"
    return Sample(make_key(0, seed), image, mask, Meta(label, SourceMeta("squares", f"square:{seed}", f"{seed:064x}")))


def write_squares(out: Path, count: int = 16, side: int = SIDE, every: int = 2, first: int = 0) -> Path:
    """A finished run of one shard; one sample in `every` is clean, none where that is 0, all where it is 1."""
    config = {"count": count, "every": every, "first": first}
    run = RunWriter(out, RunInfo(config, {"name": "squares", "items": count}, 1))
    with run.shard(0) as shard:
        for row in range(count):
            sample = picture(first + row, every == 0 or row % every != 0, side)
            shard.write(dataclasses.replace(sample, key=make_key(0, row)))
    run.finalise()
    return out
