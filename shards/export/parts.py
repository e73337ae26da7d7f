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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from shards.ahead import ahead
from shards.claims import Claim
from shards.errors import ConfigError, SchemaError
from shards.files import PARTIAL, explain, process_name
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
WRITERS, BLOCK = 2, 32
"""Threads, one of which waits for the disk while the other decodes; samples that one does before it hands them on."""


@dataclass(frozen=True)
class Part:
    """One split."""

    split: str
    reader: ShardReader
    suffix: str
    """Of its pictures: ".webp", ".png" or ".jpg"."""


def add_common(parser: argparse.ArgumentParser, example: str, splits: tuple[str, ...] = SPLITS[1:]) -> None:
    """Arguments every exporter has; `splits` are those that may be named beside `train`."""
    parser.add_argument("train", metavar="RUN", help="run folder, folder of tars, or one tar: the split `train`")
    for split in splits:
        parser.add_argument(f"--{split}", default="", metavar="RUN", help=f"another one: the split `{split}`")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder to write; the same command again resumes"
    )
    parser.epilog = f"example: {example}"


@contextmanager
def opened(args: argparse.Namespace, layout: str, **options: Any) -> Iterator[list[Part]]:
    """The splits that were named, the output folder claimed for them until the block ends.

    `options` are what else decides over the files.

    Raises MissingInputError, SchemaError, ConfigError; ResumeError where the folder holds something else; OutputError.
    """
    parts = [open_part(split, where) for split in SPLITS if (where := getattr(args, split, ""))]
    identity = {"format": layout, **options, **{part.split: contents(part.reader) for part in parts}}
    with Claim(args.out, RECORD, identity, "export").held():
        yield parts


def open_part(split: str, where: str) -> Part:
    """Raises MissingInputError, SchemaError, and ConfigError where names of files would be two things."""
    reader = ShardReader(where, whole=True)
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


Label = tuple[Path, Callable[[], bytes]]
"""A file that belongs to a picture, and its bytes, made where they are needed."""
R = TypeVar("R")


def write_part(part: Part, write: Callable[[int, str, U8], R]) -> Iterator[R]:
    """write(index, key, mask uint8 HW with 0, 1, 255) of each sample, in order; done ahead by threads.

    `write` puts the sample's files down (`write_picture`) and returns what else is wanted of it, something small: so
    memory does not grow with the number of samples nor with their size.

    Raises SchemaError for a damaged sample, OutputError.
    """
    reader = part.reader

    def work(block: range) -> list[R]:
        return [write(index, reader.key(index), reader.mask(index)) for index in block]

    blocks = (range(start, min(start + BLOCK, len(reader))) for start in range(0, len(reader), BLOCK))
    written = ahead(work, blocks, WRITERS, 2 * WRITERS, "exporter")
    with Progress(len(reader), "sample", part.split, leave=False, resumes=GOES_ON) as shown, closing(written) as done:
        for block, results in done:
            yield from results
            shown.update(len(block))


def write_picture(part: Part, index: int, folder: Path, label: Label | None = None) -> None:
    """The picture of sample `index` into a folder, after its label, unless both are there."""
    member = part.suffix[1:]
    path = folder / f"{part.reader.key(index)}{part.suffix}"
    if size_of(path) == part.reader.member_size(index, member) and (label is None or size_of(label[0]) > 0):
        return
    if label is not None:
        place(label[0], label[1]())
    place(path, part.reader.member(index, member))


def place(path: Path, data: bytes) -> None:
    """Write a small file that is whole or absent, though not yet safe from a loss of power. Raises OutputError."""
    partial = f"{path}.{_own_name()}{PARTIAL}"
    try:
        with open(partial, "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise explain(error, path) from error


_names = threading.local()


def _own_name() -> str:
    """`process_name`, which looks the machine up, once a thread."""
    if getattr(_names, "process", 0) != os.getpid():
        _names.process, _names.name = os.getpid(), process_name()
    return str(_names.name)


def has_artifact(mask: U8) -> bool:
    """Whether a mask, uint8 HW with 0, 1, 255, marks anything."""
    return bool((mask == ARTIFACT).any())


class Tally:
    """Counts the samples of a split."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, artifact: bool) -> None:
        self.counts["artifact" if artifact else "clean"] += 1

    def __str__(self) -> str:
        artifact, clean = self.counts["artifact"], self.counts["clean"]
        return f"{artifact + clean} samples ({artifact} artifact, {clean} clean)"
