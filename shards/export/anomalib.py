"""Shards in the layout of MVTec AD, as anomalib's data module `Folder` reads it.

    DIR/train/good/KEY.webp                 clean samples of RUN, with --twins the clean twins of its artifacts too
    DIR/test/good/KEY.webp                  clean samples of the --test run
    DIR/test/defect/KEY.webp                artifact samples of the --test run, without one those of RUN
    DIR/ground_truth/defect/KEY.png         their masks, 8-bit grey: 0 clean, 255 artifact
    DIR/export.json                         what was exported

anomalib trains on normal pictures alone, so artifacts of RUN are not written where there is a --test run. It knows no
ignored pixels: --ignored says what they count as in the mask of an artifact. A picture whose marked pixels are all
ignored is neither normal nor a defect and is left out. All that is left out is counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.errors import ConfigError
from shards.export.parts import (
    Label,
    Part,
    add_common,
    has_artifact,
    has_ignored,
    opened,
    place,
    write_part,
    write_picture,
)
from shards.files import make_folder
from shards.grey_png import write_grey
from shards.guard.plain_file import size_of
from shards.masks import ARTIFACT, FILE_ARTIFACT, U8
from shards.schema import MASK_MEMBER

NORMAL, NORMAL_TEST, DEFECT, MASKS = "train/good", "test/good", "test/defect", "ground_truth/defect"
TWIN = "_twin"
"""Ending of a twin's name, so that it is told from a clean sample."""
EXAMPLE = "blemish export anomalib out/miniworld --out out/anomalib"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export anomalib`."""
    add_common(parser, EXAMPLE, splits=("test",))
    parser.add_argument("--twins", action="store_true", help="clean twins of RUN's artifacts are normal pictures too")
    parser.add_argument(
        "--ignored",
        choices=("clean", "artifact"),
        default="clean",
        help="what ignored pixels of an artifact's mask count as (default clean)",
    )


def run(args: argparse.Namespace) -> int:
    """Write every split and say how to read them. Raises UserErrors."""
    with opened(args, "anomalib", twins=args.twins, ignored=args.ignored) as parts:
        names = [NORMAL, DEFECT, MASKS, *([NORMAL_TEST] if args.test else [])]
        for name in names:
            make_folder(args.out / name)
        for part in parts:
            twins = args.twins and part.split == "train"
            counts = Layout(args.out, part, bool(args.test), args.ignored == "artifact", twins).write()
            print(f"{part.split}: {words(counts)}", flush=True)
            if part.split == "train" and not counts[NORMAL]:
                raise ConfigError(
                    f"{args.train} holds no clean sample to train on; make some (samples.clean_share), or take the "
                    f"clean twins: --twins, with another --out"
                )
    normal_test = f', normal_test_dir="{NORMAL_TEST}"' if args.test else ""
    print(
        f'Folder(name="blemish", root="{args.out}", normal_dir="{NORMAL}", abnormal_dir="{DEFECT}"{normal_test}, '
        f'mask_dir="{MASKS}")'
    )
    return 0


def words(counts: Counter[str]) -> str:
    """What was written where, and what was not."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "no samples"


@dataclass(frozen=True)
class Layout:
    """Where the samples of one split go."""

    out: Path
    part: Part
    has_test: bool
    """Whether the split `test` is a run of its own."""
    ignored_count: bool
    """Whether ignored pixels are artifacts in the mask files."""
    with_twins: bool
    """Whether clean twins of this split's artifacts are normal pictures."""

    def write(self) -> Counter[str]:
        """Write the split; returns how many samples went where."""
        counts: Counter[str] = Counter()
        for places in write_part(self.part, self):
            counts.update(places)
        return counts

    def __call__(self, block: range, keys: list[str], masks: list[U8]) -> list[list[str]]:
        """Write samples; returns where each went."""
        return [self.put(index, key, mask) for index, key, mask in zip(block, keys, masks, strict=True)]

    def put(self, index: int, key: str, mask: U8) -> list[str]:
        """Write one sample; returns where it went."""
        is_artifact, is_doubtful = has_artifact(mask), has_ignored(mask)
        where = self.told(is_artifact, is_doubtful)
        if where in (NORMAL, NORMAL_TEST, DEFECT):
            label = self.label_of(index, key, mask, is_doubtful) if where == DEFECT else None
            write_picture(self.part, index, key, f"{self.out}/{where}", label)
        if not (self.with_twins and is_artifact):
            return [where]
        return [where, NORMAL if self.write_twin(index, key) else "artifacts without a clean twin"]

    def told(self, is_artifact: bool, is_doubtful: bool) -> str:
        """Where a sample with such a mask goes; in words where it goes nowhere."""
        train = self.part.split == "train"
        if is_artifact:
            return "artifacts not written: anomalib trains on normal pictures" if train and self.has_test else DEFECT
        if is_doubtful:
            return "left out: all their marked pixels are ignored"
        return NORMAL if train else NORMAL_TEST

    def label_of(self, index: int, key: str, mask: U8, is_doubtful: bool) -> Label:
        """The mask of a defect: the shard's own file where it holds nothing but 0 and 255."""
        path = f"{self.out}/{MASKS}/{key}.png"
        if not is_doubtful:
            return path, lambda: self.part.reader.member(index, MASK_MEMBER)
        marked = mask != 0 if self.ignored_count else mask == ARTIFACT
        return path, lambda: write_grey(np.where(marked, np.uint8(FILE_ARTIFACT), np.uint8(0)))

    def write_twin(self, index: int, key: str) -> bool:
        """The clean twin as a normal picture; False where the sample has none."""
        member = self.part.reader.source_name(index)
        if not member:
            return False
        path = f"{self.out}/{NORMAL}/{key}{TWIN}.{member.removeprefix('source.')}"
        if size_of(path) != self.part.reader.member_size(index, member):
            place(path, self.part.reader.member(index, member))
        return True
