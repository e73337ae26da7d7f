"""What the exporters share: a run for each split, and their pictures as files.

A picture is the member of the shard, byte for byte, under the sample's key. Files appear whole, the picture after what
belongs to it: one that is there is not written again, so that the same command resumes.

Pictures and their labels are written as `cp` writes, and not synced one by one, which would take most of the time.
After a loss of power a file is therefore there, empty or absent; the same command writes what is empty or absent again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from shards.claims import Claim
from shards.errors import ConfigError, SchemaError
from shards.export.side_by_side import SideBySide, usable_processors
from shards.files import PARTIAL, explain, process_name
from shards.grey_png import MOST_PIXELS, size_in
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import size_of
from shards.images import decode_masks
from shards.masks import ARTIFACT, IGNORE, U8
from shards.progress import GOES_ON, Progress
from shards.reader import ShardReader
from shards.schema import MASK_MEMBER
from shards.writer import MANIFEST

RECORD = "export.json"
"""File of the output folder that says what was exported."""
SPLITS = ("train", "val", "test")
CLASSES = ("clean", "artifact")
BLOCK, BLOCKS_A_PROCESS = 32, 16
"""Samples that a process does before it hands on what it made of them; as many of these as are worth its beginning."""


@dataclass(frozen=True)
class Part:
    """One split."""

    split: str
    reader: ShardReader
    suffix: str
    """Of its pictures: ".webp", ".png" or ".jpg"."""
    processes: int = 1
    """That write it side by side."""


def add_common(parser: argparse.ArgumentParser, example: str, splits: tuple[str, ...] = SPLITS[1:]) -> None:
    """Arguments every exporter has; `splits` are those that may be named beside `train`."""
    parser.add_argument("train", metavar="RUN", help="run folder, folder of tars, or one tar: the split `train`")
    for split in splits:
        parser.add_argument(f"--{split}", default="", metavar="RUN", help=f"another one: the split `{split}`")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder to write; the same command again resumes"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=0,
        metavar="N",
        help="processes that write side by side, to the same files whatever their number; what is made of pictures and "
        "tables alone takes one (default: one a processor, fewer for few samples)",
    )
    parser.epilog = f"example: {example}"


@contextmanager
def opened(args: argparse.Namespace, layout: str, **options: Any) -> Iterator[list[Part]]:
    """The splits that were named, the output folder claimed for them until the block ends.

    `options` are what else decides over the files.

    Raises MissingInputError, SchemaError, ConfigError; ResumeError where the folder holds something else; OutputError.
    """
    if args.processes < 0:
        raise ConfigError(f"--processes {args.processes}: at least 1, or 0 for one a processor")
    named = [(split, where) for split in SPLITS if (where := getattr(args, split, ""))]
    parts = [open_part(split, where, args.processes) for split, where in named]
    identity = {"format": layout, **options, **{part.split: contents(part.reader) for part in parts}}
    with Claim(args.out, RECORD, identity, "export").held():
        yield parts


def open_part(split: str, where: str, processes: int = 0) -> Part:
    """processes: 0 for one a processor, or fewer for few samples.

    Raises MissingInputError, SchemaError, and ConfigError where names of files would be two things.
    """
    reader = ShardReader(where, whole=True)
    if len(np.unique(reader.keys)) < len(reader):
        raise ConfigError(f"{where}: several samples have the same key, so they are not of one run; export each alone")
    suffixes = [f".{name}" for name in reader.image_names()]
    if len(suffixes) > 1:
        raise ConfigError(
            f"{where} has pictures of {' and '.join(suffixes)}; a split has one ending: export each alone"
        )
    most = 1 + len(reader) // (BLOCK * BLOCKS_A_PROCESS)
    return Part(split, reader, suffixes[0] if suffixes else ".webp", processes or min(usable_processors(), most))


def contents(reader: ShardReader) -> dict[str, str]:
    """What tells the samples from others: sha256 of each shard where a manifest has it, else its size and time."""
    known = {str(path): path.identity() for path in reader.paths if not isinstance(path, Path)}
    for folder in {path.parent.parent for path in reader.paths if isinstance(path, Path)}:
        try:
            shards = read_object(folder / MANIFEST, limits=TABLE, error=SchemaError).get("shards", [])
            known |= {str(folder / str(one["name"])): str(one["sha256"]) for one in shards}
        except (SchemaError, OSError, KeyError, TypeError):  # no run, or one that is not complete
            continue
    found = {}
    for path in reader.paths:
        found[path.name] = known.get(str(path), "")
        if not found[path.name]:
            stat = Path(str(path)).stat()
            found[path.name] = f"{stat.st_size} bytes of {stat.st_mtime_ns} ns"
    return found


Label = tuple[str, Callable[[], bytes]]
"""Path of a file that belongs to a picture, and its bytes, made where they are needed."""
R = TypeVar("R")


class Write(Protocol[R]):
    """What an exporter does with some neighbouring samples. It is pickled for processes that work side by side."""

    def __call__(self, block: range, keys: list[str], masks: list[U8], /) -> list[R]:
        """Put the samples' files down; returns what else is wanted of each, something small.

        `masks`: HW with 0, 1, 255. Raises SchemaError for a damaged sample, OutputError.
        """


@dataclass(frozen=True)
class Blocks(Generic[R]):
    """Does neighbouring samples of a part: first all masks, then all files, which is quicker than in turns."""

    part: Part
    write: Write[R]

    def __call__(self, block: range) -> list[R]:
        reader = self.part.reader
        done: list[R] = []
        datas: list[bytes] = []
        first, pixels = block.start, 0
        for index in (*block, block.stop):
            data = reader.member(index, MASK_MEMBER) if index < block.stop else b""
            pixels += (size := size_in(data))
            if datas and (index == block.stop or pixels > MOST_PIXELS):  # large masks are in memory one by one
                some = range(first, index)
                done += self.write(some, [reader.key(one) for one in some], decode_masks(datas))
                datas, first, pixels = [], index, size
            datas.append(data)
        return done


def write_part(part: Part, write: Write[R]) -> Iterator[R]:
    """`write` of each sample; what it returns in order. Memory grows with neither the number of samples nor their size.

    Raises SchemaError for a damaged sample, OutputError.
    """
    count = len(part.reader)
    blocks = (range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
    with (
        SideBySide(Blocks(part, write), min(part.processes, 1 + count // BLOCK)) as crew,
        Progress(count, "sample", part.split, leave=False, resumes=GOES_ON) as shown,
    ):
        for results in crew.results(blocks):
            yield from results
            shown.update(len(results))


def write_picture(part: Part, index: int, key: str, folder: Path | str, label: Label | None = None) -> None:
    """The picture of sample `index` into a folder, after its label, unless both are there."""
    member = part.suffix[1:]
    path = f"{folder}/{key}{part.suffix}"
    there = size_of(path)
    if there >= 0 and there == part.reader.member_size(index, member) and (label is None or size_of(label[0]) > 0):
        return
    if label is not None:
        place(label[0], label[1]())
    place(path, part.reader.member(index, member))


def place(path: str, data: bytes) -> None:
    """Write a small file that is whole or absent, though not yet safe from a loss of power. Raises OutputError."""
    partial = f"{path}.{_own_name()}{PARTIAL}"
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            written = os.write(handle, data)
            while written < len(data):
                written += os.write(handle, data[written:])
        finally:
            os.close(handle)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise explain(error, Path(path)) from error


_names = threading.local()


def _own_name() -> str:
    """`process_name`, which looks the machine up, once a thread."""
    if getattr(_names, "process", 0) != os.getpid():
        _names.process, _names.name = os.getpid(), process_name()
    return str(_names.name)


def has_artifact(mask: U8) -> bool:
    """Whether a mask, uint8 HW with 0, 1, 255, marks anything."""
    return ARTIFACT in mask.tobytes()  # in a tenth of the time that numpy takes to compare and to look


def has_ignored(mask: U8) -> bool:
    """Whether pixels of a mask, uint8 HW with 0, 1, 255, are ignored."""
    return IGNORE in mask.tobytes()


class Tally:
    """Counts the samples of a split."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, artifact: bool) -> None:
        self.counts["artifact" if artifact else "clean"] += 1

    def __str__(self) -> str:
        artifact, clean = self.counts["artifact"], self.counts["clean"]
        return f"{artifact + clean} samples ({artifact} artifact, {clean} clean)"
