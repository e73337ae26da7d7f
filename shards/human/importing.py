"""What the importers share: refusing pointer files, filling a run from a list of inputs, telling what was left out."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from shards.errors import ConfigError, OutputError, SourceError
from shards.files import whole_file
from shards.guard.json_text import parse_object
from shards.guard.plain_file import open_plain
from shards.markdown import table
from shards.masks import ARTIFACT, U8
from shards.schema import CODECS, Meta, RegionMeta, Sample, SizeMeta, SourceMeta, make_key
from shards.source import Reject
from shards.sources.pictures import Limits
from shards.writer import REJECTS, RunWriter

EXCLUDED = "excluded.jsonl"
POINTER = b"version https://git-lfs"
LIMITS = Limits(max_pixels=1 << 25)
"""Sizes of pictures that are taken: up to 32 million pixels, more than either set has."""
Tick = Callable[[int, int], Any]


def refuse_pointer(path: Path) -> None:
    """Raise SourceError if `path` is the pointer that Git leaves where Git LFS was not used, or cannot be read."""
    try:
        with open_plain(path) as file:
            head, size = file.read(len(POINTER)), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error})") from error
    if head == POINTER:
        raise SourceError(
            f"{path} is a Git LFS pointer of {size} bytes, not the data; "
            "install Git LFS and run `git lfs pull` in that checkout"
        )


def add_common(parser: argparse.ArgumentParser, example: str) -> None:
    """Arguments every importer has."""
    parser.add_argument("--out", required=True, type=Path, help="folder to write; the same command again resumes")
    parser.add_argument("--codec", choices=CODECS, default="webp", help="image codec (default webp, lossless)")
    parser.add_argument("--per-shard", type=int, default=100, help="inputs a shard (default 100)")
    parser.add_argument("--licence", default="", help="licence of the set, copied into every sample and the card")
    parser.epilog = f"example: {example}"


def check_common(args: argparse.Namespace) -> None:
    """Raise ConfigError on a value that cannot be."""
    if args.per_shard < 1:
        raise ConfigError(f"--per-shard must be 1 or more, got {args.per_shard}")


def fingerprint(lines: Iterable[str]) -> str:
    """sha256 over a listing, in hex."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def num_shards(items: int, per_shard: int) -> int:
    """Shards that hold `items` inputs."""
    return -(-items // per_shard)


def fill(run: RunWriter, items: int, per_shard: int, make: Callable[[int], Sample | Reject], tick: Tick) -> None:
    """Make every input of the shards that are not done; keys, places and the config's hash are set here."""
    for shard in run.todo():
        with run.shard(shard) as out:
            for row, index in enumerate(range(shard * per_shard, min(items, (shard + 1) * per_shard))):
                made = make(index)
                if isinstance(made, Reject):
                    out.reject(made, index)
                else:
                    source = dataclasses.replace(made.meta.source, index=index)
                    meta = dataclasses.replace(made.meta, source=source, config_hash=run.hash)
                    out.write(dataclasses.replace(made, key=make_key(shard, row), meta=meta))
                tick(1, int(isinstance(made, Reject)))


def labelled(image: U8, mask: U8, source: SourceMeta, policy: str, options: dict[str, Any], extra: Any) -> Sample:
    """A human-labelled sample, its key still open. image uint8 HWC, mask uint8 HW with 0, 1, 255."""
    height, width = mask.shape
    meta = Meta(
        label="artifact" if (mask == ARTIFACT).any() else "clean",
        source=dataclasses.replace(source, width=width, height=height),
        region=RegionMeta(policy, options),
        size=SizeMeta("none", width, height),
        versions={name: metadata.version(name) for name in ("numpy", "pillow")},
        extra=extra,
    )
    return Sample(make_key(0, 0), image, mask, meta)


def stretch(mask: U8, shape: tuple[int, int]) -> U8:
    """uint8 HW to another height and width, nearest neighbour, values unchanged."""
    from PIL import Image

    if mask.shape == shape:
        return mask
    return np_array(Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.NEAREST))


def np_array(picture: Any) -> U8:
    """A Pillow picture of mode L -> uint8 HW."""
    import numpy as np

    return np.asarray(picture)


def write_excluded(out: Path, parts: Iterable[tuple[Mapping[str, Any], RunWriter]], rest: Iterable[Any] = ()) -> int:
    """OUT/excluded.jsonl: the rejects of every run, each with the facts of its part (its split, say), then `rest`.

    Returns the number of lines. Raises OutputError.
    """
    count = 0
    with whole_file(out / EXCLUDED) as file:
        for facts, run in parts:
            for line in own_lines(run.out / REJECTS):
                file.write(encode_line({**facts, **parse_object(line, str(run.out / REJECTS))}))
                count += 1
        for record in rest:
            file.write(encode_line(record))
            count += 1
    return count


def own_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file that this run wrote. Raises OutputError where it cannot be read any more."""
    try:
        with open_plain(path) as file:
            yield from file
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror or error}); run the same command again") from error


def encode_line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def count_table(heads: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers get their thousands apart."""
    text = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return table(heads, text, aligned=True)
