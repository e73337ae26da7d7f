"""What the exporters share: a run for each split, and their pictures as files.

A picture is the member of the shard, byte for byte, under the sample's key. Files appear whole, the picture after what
belongs to it: one that is there is not written again, so that the same command resumes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.ahead import ahead
from shards.claims import Claim
from shards.errors import ConfigError, SchemaError
from shards.files import make_folder, write_bytes
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import size_of
from shards.masks import ARTIFACT, U8
from shards.progress import GOES_ON, Progress
from shards.reader import ShardReader
from shards.writer import MANIFEST

RECORD = "export.json"
"""File of the output folder that says what was exported."""
SPLITS = ("train", "val", "test")
CLASSES = ("clean", "artifact")
WRITERS = 8
"""Threads: a file that is put on disk is mostly waited for."""


@dataclass(frozen=True)
class Part:
    """One split."""

    split: str
    reader: ShardReader
    suffix: str
    """Of its pictures: ".webp", ".png" or ".jpg"."""


def add_common(parser: argparse.ArgumentParser, example: str) -> None:
    """Arguments every exporter has."""
    parser.add_argument("train", metavar="RUN", help="run folder, folder of tars, or one tar: the split `train`")
    parser.add_argument("--val", default="", metavar="RUN", help="another one: the split `val`")
    parser.add_argument("--test", default="", metavar="RUN", help="another one: the split `test`")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder to write; the same command again resumes"
    )
    parser.epilog = f"example: {example}"


@contextmanager
def opened(args: argparse.Namespace, layout: str) -> Iterator[list[Part]]:
    """The splits that were named, the output folder claimed for them until the block ends.

    Raises MissingInputError, SchemaError, ConfigError; ResumeError where the folder holds something else; OutputError.
    """
    parts = [open_part(split, where) for split in SPLITS if (where := getattr(args, split))]
    identity = {"format": layout, **{part.split: contents(part.reader) for part in parts}}
    with Claim(args.out, RECORD, identity, "export").held():
        yield parts


def open_part(split: str, where: str) -> Part:
    """Raises MissingInputError, SchemaError, and ConfigError where names of files would be two things."""
    reader = ShardReader(where)
    if len(np.unique(reader.keys)) < len(reader):
        raise ConfigError(f"{where}: several samples have the same key, so they are not of one run; export each alone")
    suffixes = sorted({f".{reader.image_name(index)}" for index in range(len(reader))})
    if len(suffixes) > 1:
        raise ConfigError(
            f"{where} has pictures of {' and '.join(suffixes)}; a split has one ending: export each alone"
        )
    return Part(split, reader, suffixes[0] if suffixes else ".webp")


def contents(reader: ShardReader) -> dict[str, str]:
    """What tells the samples from others: sha256 of each shard where a manifest has it, else its size and time."""
    known: dict[str, str] = {}
    for folder in {path.parent.parent for path in reader.paths}:
        try:
            shards = read_object(folder / MANIFEST, limits=TABLE, error=SchemaError).get("shards", [])
            known |= {str(folder / str(one["name"])): str(one["sha256"]) for one in shards}
        except (SchemaError, OSError, KeyError, TypeError):  # no run, or one that is not complete
            continue
    found = {}
    for path in reader.paths:
        stat = path.stat()
        found[path.name] = known.get(str(path)) or f"{stat.st_size} bytes of {stat.st_mtime_ns} ns"
    return found


def write_part(
    part: Part, pictures: Path, write_label: Callable[[str, U8], None] | None = None
) -> Iterator[tuple[str, U8]]:
    """(key, mask uint8 HW with 0, 1, 255) of each sample in order, once its picture lies in `pictures`.

    Memory does not grow with the number of samples. `write_label` writes what belongs to a picture, before it.

    Raises SchemaError for a damaged sample, OutputError.
    """
    make_folder(pictures)
    reader, member = part.reader, part.suffix[1:]

    def write(index: int) -> tuple[str, U8]:
        key, mask = reader.key(index), reader.mask(index)
        path = pictures / f"{key}{part.suffix}"
        if size_of(path) != reader.member_size(index, member):
            if write_label is not None:
                write_label(key, mask)
            write_bytes(path, reader.member(index, member))
        return key, mask

    written = ahead(write, range(len(reader)), WRITERS, 2 * WRITERS, "exporter")
    with Progress(len(reader), "sample", part.split, leave=False, resumes=GOES_ON) as shown, closing(written) as done:
        for _, sample in done:
            yield sample
            shown.update()


class Tally:
    """Counts the samples of a split."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, mask: U8) -> None:
        self.counts["artifact" if (mask == ARTIFACT).any() else "clean"] += 1

    def __str__(self) -> str:
        artifact, clean = self.counts["artifact"], self.counts["clean"]
        return f"{artifact + clean} samples ({artifact} artifact, {clean} clean)"
