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
from pathlib import Path

import numpy as np

from shards.errors import ConfigError
from shards.export.parts import Label, Part, add_common, has_artifact, opened, place, write_part, write_picture
from shards.files import make_folder
from shards.guard.plain_file import size_of
from shards.images import encode_image
from shards.masks import ARTIFACT, FILE_ARTIFACT, IGNORE, U8
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
            counts = Layout(args.out, part, bool(args.test), args.ignored == "artifact").write(args.twins)
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


class Layout:
    """Where the samples of one split go.

    Args:
        has_test: whether the split `test` is a run of its own.
        ignored_count: whether ignored pixels are artifacts in the mask files.
    """

    def __init__(self, out: Path, part: Part, has_test: bool, ignored_count: bool) -> None:
        self.out, self.part, self.ignored_count = out, part, ignored_count
        self.normal = NORMAL if part.split == "train" else NORMAL_TEST
        self.defect = "" if part.split == "train" and has_test else DEFECT

    def write(self, twins: bool) -> Counter[str]:
        """Write the split; returns how many samples went where."""
        with_twins = twins and self.part.split == "train"

        def write(index: int, key: str, mask: U8) -> list[str]:
            where = self.told(mask)
            if where in (NORMAL, NORMAL_TEST, DEFECT):
                write_picture(self.part, index, self.out / where, self.label_of(index, mask))
            if not (with_twins and has_artifact(mask)):
                return [where]
            return [where, NORMAL if self.write_twin(index, key) else "artifacts without a clean twin"]

        counts: Counter[str] = Counter()
        for places in write_part(self.part, write):
            counts.update(places)
        return counts

    def told(self, mask: U8) -> str:
        """Where a sample with this mask goes; in words where it goes nowhere."""
        if has_artifact(mask):
            return self.defect or "artifacts not written: anomalib trains on normal pictures"
        return "left out: all their marked pixels are ignored" if (mask == IGNORE).any() else self.normal

    def label_of(self, index: int, mask: U8) -> Label | None:
        """The mask of a defect: the shard's own file where it holds nothing but 0 and 255."""
        if self.told(mask) != DEFECT:
            return None
        path = self.out / MASKS / f"{self.part.reader.key(index)}.png"
        if not (mask == IGNORE).any():
            return path, lambda: self.part.reader.member(index, MASK_MEMBER)
        marked = mask != 0 if self.ignored_count else mask == ARTIFACT
        return path, lambda: encode_image(np.where(marked, np.uint8(FILE_ARTIFACT), np.uint8(0)), "png")

    def write_twin(self, index: int, key: str) -> bool:
        """The clean twin as a normal picture; False where the sample has none."""
        member = self.part.reader.source_name(index)
        if not member:
            return False
        path = self.out / NORMAL / f"{key}{TWIN}.{member.removeprefix('source.')}"
        if size_of(path) != self.part.reader.member_size(index, member):
            place(path, self.part.reader.member(index, member))
        return True
