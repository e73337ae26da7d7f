"""The done mark of a shard, and whether the shard's files still are what it says."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.build import BuildError, build, plain
from shards.errors import MissingInputError, ResumeError
from shards.guard.json_text import read_object
from shards.guard.plain_file import open_plain, read_plain, size_of

MAX_REJECTS = 1 << 30
"""Bytes of a shard's rejects."""


@dataclass(frozen=True)
class Stats:
    """The done mark of a shard, stats.json."""

    shard: int
    sha256: str
    """Of the tar; "" where every input was rejected and there is none."""
    samples: int
    artifact: int
    clean: int
    bytes: int
    """Of all members."""
    rejects: dict[str, int]
    """Number of rejects by reason."""
    size: int = -1
    """Bytes of the tar, 0 where there is none, -1 where an earlier version did not say."""

    def __post_init__(self) -> None:
        numbers = (self.shard, self.samples, self.artifact, self.clean, self.bytes, *self.rejects.values())
        if min(numbers) < 0 or self.samples != self.artifact + self.clean:
            raise ValueError(f"the counts of shard {self.shard} do not fit together")

    def row(self) -> dict[str, Any]:
        """As the manifest lists the shard."""
        return {"name": f"shards/{self.shard:05d}.tar", **{k: v for k, v in plain(self).items() if k != "size"}}


def total(stats: list[Stats]) -> dict[str, Any]:
    """Sum the stats of shards."""
    names = ("samples", "artifact", "clean", "bytes")
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in stats) for name in names}
    rejects: Counter[str] = Counter()
    for one in stats:
        rejects.update(one.rejects)
    return {**sums, "shards": sum(1 for one in stats if one.samples), "rejects": dict(sorted(rejects.items()))}


def sound_stats(index: int, mark: Path, tar: Path, rejects: Path) -> Stats | None:
    """The stats of a shard, None unless they can be read and the shard's files are as they say."""
    try:
        stats = build(Stats, read_object(mark, error=ResumeError))
    except (MissingInputError, ResumeError, BuildError):
        return None
    whole = is_whole_tar(tar, stats.size) if stats.samples else True
    return stats if stats.shard == index and whole and count_lines(rejects) == sum(stats.rejects.values()) else None


def is_whole_tar(path: Path, size: int) -> bool:
    """Whether a tar has the size it was given; where that is not known, whether it ends as the writer ends one."""
    found = size_of(path)
    if size >= 0 or found <= 0:
        return found == size
    if found % tarfile.RECORDSIZE:
        return False
    with open_plain(path) as file:
        file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
        return not file.read().strip(b"\0")


def count_lines(path: Path) -> int:
    """Lines of a text, 0 where there is no file, -1 where it cannot be read."""
    try:
        return read_plain(path, MAX_REJECTS).count(b"\n")
    except FileNotFoundError:
        return 0
    except OSError:
        return -1


def signature_of(path: Path) -> tuple[int, int, int]:
    """Changes when a file does; zeros where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ino
