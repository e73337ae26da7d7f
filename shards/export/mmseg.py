"""Shards as a data set of mmsegmentation: pictures and labels as files, and a config that reads them.

DIR/img_dir/SPLIT/KEY.webp    the picture as the shard has it (.webp, .png or .jpg)
DIR/ann_dir/SPLIT/KEY.png     8-bit grey: 0 clean, 1 artifact, 255 ignored
DIR/dataset.py                `train_dataloader` and so on, to be inherited from with `_base_`
DIR/export.json               what was exported
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shards.export.parts import CLASSES, Part, Tally, add_common, has_artifact, opened, write_part, write_picture
from shards.files import make_folder, write_bytes
from shards.grey_png import write_grey
from shards.masks import U8

IMAGES, LABELS, CONFIG = "img_dir", "ann_dir", "dataset.py"
PALETTE = ((0, 0, 0), (255, 0, 0))
EXAMPLE = "blemish export mmseg out/miniworld --out out/mmseg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export mmseg`."""
    add_common(parser, EXAMPLE)


def run(args: argparse.Namespace) -> int:
    """Write every split, then the config. Raises UserErrors."""
    with opened(args, "mmseg") as parts:
        for part in parts:
            print(f"{part.split}: {write_split(part, args.out)} in {args.out / IMAGES / part.split}", flush=True)
        write_bytes(args.out / CONFIG, config_text(parts).encode())
    print(f"{args.out / CONFIG} is the config to inherit from")
    return 0


@dataclass(frozen=True)
class Pairs:
    """Writes pictures and labels; returns whether they have artifacts."""

    part: Part
    pictures: str
    labels: str

    def __call__(self, block: range, keys: list[str], masks: list[U8]) -> list[bool]:
        for index, key, mask in zip(block, keys, masks, strict=True):
            write_picture(self.part, index, key, self.pictures, (f"{self.labels}/{key}.png", partial(write_grey, mask)))
        return [has_artifact(mask) for mask in masks]


def write_split(part: Part, out: Path) -> Tally:
    """Pictures and labels of one split."""
    pictures, labels = out / IMAGES / part.split, out / LABELS / part.split
    make_folder(pictures)
    make_folder(labels)
    tally = Tally()
    for artifact in write_part(part, Pairs(part, str(pictures), str(labels))):
        tally.add(artifact)
    return tally


def config_text(parts: Sequence[Part]) -> str:
    """A config of mmengine; the folder is wherever the file lies."""
    loaders = "".join(loader_text(part) for part in parts)
    return f'''"""Data set of image artifacts. Inherit from it: _base_ = ["DIR/{CONFIG}"]; pipelines are yours."""

dataset_type = "mmseg.BaseSegDataset"
data_root = "{{{{ fileDirname }}}}"
metainfo = dict(classes={CLASSES}, palette={[list(colour) for colour in PALETTE]})
{loaders}'''


def loader_text(part: Part) -> str:
    """The loader of one split; only training draws at random."""
    sampler = 'dict(type="InfiniteSampler", shuffle=True)' if part.split == "train" else 'dict(type="DefaultSampler")'
    return f'''
{part.split}_dataloader = dict(
    batch_size={8 if part.split == "train" else 1},
    num_workers=2,
    sampler={sampler},
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="{IMAGES}/{part.split}", seg_map_path="{LABELS}/{part.split}"),
        img_suffix="{part.suffix}",
        seg_map_suffix=".png",
        metainfo=metainfo,
        reduce_zero_label=False,
        pipeline=[dict(type="LoadImageFromFile"), dict(type="mmseg.LoadAnnotations")],
    ),
)
'''
