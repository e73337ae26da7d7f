"""Shards of object stores that are kept on this machine: whole files under a bound, the longest unused go first.

    BLEMISH_CACHE      folder (default $XDG_CACHE_HOME/blemish/shards, else ~/.cache/blemish/shards)
    BLEMISH_CACHE_GB   10^9 bytes that it may take (default half of what is free on its disk, at most 100)

A file's name is made of the object's address, size and tag, so that a changed object is another file. A file is there
under its name only when it is complete; one under way has its full size from the beginning, so that it counts. Several
processes share the folder; delete it at any time. A file that is deleted while it is read stays readable.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar

from shards.errors import ConfigError, OutputError, UserError
from shards.files import PARTIAL, explain, leftover_of, make_folder, process_name, publish
from shards.guard.plain_file import size_of
from shards.locks import Locks

FOLDER, SIZE = "BLEMISH_CACHE", "BLEMISH_CACHE_GB"
GIGABYTE = 10**9
MOST_DEFAULT = 100 * GIGABYTE
LOCK, ROOM = ".lock", 1 << 29
"""The lock file, and the lock of making room; those below it are of files under way."""
ABANDONED = 3600.0
"""Seconds without a write after which a file under way is one that a killed process left."""


def cache_folder() -> Path:
    """Where shards are kept."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blemish" / "shards"


class ShardCache:
    """The folder, and how many bytes it may hold.

    Raises ConfigError where BLEMISH_CACHE_GB is no number of 0 or more.
    """

    kept: ClassVar[set[str]] = set()
    """Names of files that this process does not give up for others."""

    def __init__(self) -> None:
        self.folder = cache_folder()
        self.most = self._most()
        self._told = False

    def _most(self) -> int:
        told = os.environ.get(SIZE)
        if told is not None:
            try:
                number = float(told)
            except ValueError:
                number = math.nan
            if not 0 <= number <= 1e9:
                raise ConfigError(f"{SIZE} is {told[:40]!r}; give a number of 10^9 bytes, 0 or more, such as 50")
            return int(number * GIGABYTE)
        with contextlib.suppress(OSError):
            there = next(one for one in (self.folder, *self.folder.parents) if one.exists())
            taken = sum(size for _, size, _ in self._files())
            return min(MOST_DEFAULT, (shutil.disk_usage(there).free + taken) // 2)
        return 0

    @staticmethod
    def name(address: str, size: int, tag: str, suffix: str) -> str:
        """Of the file that holds this state of an object."""
        digest = hashlib.sha256(f"{address}\n{size}\n{tag}".encode("utf-8", "surrogateescape")).hexdigest()
        return f"{digest[:40]}{suffix}"

    def find(self, name: str, size: int) -> Path | None:
        """The file of this name if it has this size; it counts as used now."""
        path = self.folder / name
        if size_of(path) != size:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return path

    def fill(self, name: str, size: int, write: Callable[[BinaryIO], None]) -> Path | None:
        """The file of this name: the one that is there, or what `write` makes, once however many processes ask for it.

        None where it does not fit or the folder cannot be written, which is told once on standard error. What `write`
        raises passes, but for errors of this machine's disk.
        """
        if size > self.most:
            return None
        try:
            make_folder(self.folder)
            with self._locked(int(name[:7], 16)):
                found = self.find(name, size)
                if found is not None:
                    return found
                partial = self.folder / f"{name}.{process_name()}{PARTIAL}"
                with self._locked(ROOM):
                    if not self._make_room(size):
                        return None
                    reserve(partial, size)
                return self._written(partial, self.folder / name, write)
        except OutputError as error:
            if not self._told:
                print(f"cache of shards: {error}; they are read by range instead", file=sys.stderr)
            self._told = True
            return None

    def _written(self, partial: Path, path: Path, write: Callable[[BinaryIO], None]) -> Path:
        try:
            with partial.open("r+b") as file:
                write(file)
                publish(file, partial, path)
        except OSError as error:
            if isinstance(error, UserError):  # of `write`, or told already
                raise
            raise explain(error, path) from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        return path

    def _make_room(self, size: int) -> bool:
        """Delete what was not used for longest until `size` more bytes fit; whether they do."""
        files = sorted(self._files())
        total = sum(taken for _, taken, _ in files)
        free = [(taken, name) for when, taken, name in files if self._may_go(when, name)]
        if total + size - sum(taken for taken, _ in free) > self.most:
            return False
        for taken, name in free:
            if total + size <= self.most:
                break
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
                total -= taken
        return total + size <= self.most

    def _may_go(self, when: float, name: str) -> bool:
        if leftover_of(name):
            return time.time() - when > ABANDONED
        return name not in self.kept

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """(time of last use, bytes, name) of the files of this cache: names of this code alone."""
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return
        for entry in entries:
            with contextlib.suppress(OSError):
                if is_ours(entry.name) and entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    yield facts.st_mtime, facts.st_size, entry.name

    @contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        locks = Locks(self.folder / LOCK)
        locks.wait(number)
        try:
            yield
        finally:
            locks.release(number)


def is_ours(name: str) -> bool:
    """Whether a file is one of the cache: nothing else in the folder is counted or deleted."""
    stem, _, suffix = (leftover_of(name) or name).partition(".")
    return len(stem) == 40 and set(stem) <= set("0123456789abcdef") and suffix in ("tar", "index.npz")


def reserve(partial: Path, size: int) -> None:
    """A file of this size without bytes yet. Raises OutputError."""
    try:
        with partial.open("xb") as file:
            file.truncate(size)
    except OSError as error:
        raise explain(error, partial) from error
