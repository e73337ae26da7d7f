"""Files read by byte ranges: on this machine, or behind any address that fsspec knows (hf://, s3://, https://, ..).

`hf://datasets/OWNER/NAME@REVISION/PATH` is a file of a data set on the Hugging Face hub; the revision may also stand at
the end, `hf://datasets/OWNER/NAME/PATH@REVISION`.
"""

from __future__ import annotations

import glob
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shards.errors import MissingInputError, SourceError, UserError
from shards.guard.plain_file import open_plain, size_of
from shards.sources.braces import expand_braces

T = TypeVar("T")

ATTEMPTS, FIRST_PAUSE = 5, 1.0
"""Tries of a remote read, and seconds before the second; each further pause is twice as long."""
REMOTE = re.compile(r"[a-z][a-z0-9+]+://", re.IGNORECASE)
HUB_FILE = re.compile(r"(hf://(?:datasets/|models/|spaces/)?[^/@]+/[^/@]+)(/.+)@([^/@]+)")
STAMPS = ("lfs", "blob_id", "oid", "etag", "ETag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
"""What file systems call that which changes with a file's content; the first one there is used."""


class StoredFile(ABC):
    """One file. Safe to read from several threads, and to pickle."""

    address: str
    size: int
    stamp: str
    """Changes when the content does."""
    remote: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.address.rsplit("/", 1)[-1]

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer where the file ends.

        Raises OSError for a local file that cannot be read, SourceError for a remote one after several tries: what a
        network fails to give today is no reason to do without the picture.
        """


@dataclass(frozen=True)
class LocalFile(StoredFile):
    """A file of this machine."""

    address: str
    size: int
    stamp: str
    remote = False

    def read(self, offset: int, size: int) -> bytes:
        # A handle an access keeps threads, forks and pickling simple; opening costs microseconds.
        with open_plain(self.address) as file:
            return os.pread(file.fileno(), size, offset)


@dataclass(frozen=True)
class RemoteFile(StoredFile):
    """A file of an fsspec file system."""

    address: str
    size: int
    stamp: str
    path: str
    """What the file system calls it."""
    filesystem: Any
    remote = True

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        return retry(lambda: self._read(offset, size), self.address) if size > 0 else b""

    def _read(self, offset: int, size: int) -> bytes:
        # Without a cache a read asks for its own range and nothing else.
        data: bytes = self.filesystem.cat_file(self.path, start=offset, end=offset + size, cache_type="none")
        if len(data) != size:
            raise OSError(f"{len(data)} of {size} bytes came")
        return data


def find_files(patterns: Iterable[str]) -> list[StoredFile]:
    """Paths, addresses, globs and brace ranges such as "data-{000000..000068}.tar" -> files, in that order.

    Raises MissingInputError naming what is not there, ConfigError for a pattern that cannot be
    used, SourceError where nothing can be reached.
    """
    files: list[StoredFile] = []
    folders: dict[str, dict[str, Mapping[str, Any]]] = {}
    for pattern in patterns:
        for name in expand_braces(pattern):
            files += find_remote(name, folders) if REMOTE.match(name) else find_local(name)
    return files


def find_local(name: str) -> list[StoredFile]:
    """A path or a glob."""
    paths = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
    if not paths:
        raise MissingInputError(f"no tar matches {name!r}; give a path, a glob or a range x-{{00..12}}.tar")
    return [local_file(Path(path)) for path in paths]


def local_file(path: Path) -> LocalFile:
    """Size and time of an ordinary local file; -1 of anything else (reading it then says why)."""
    size = size_of(path)
    return LocalFile(str(path), size, f"{size} {path.stat().st_mtime_ns}" if size >= 0 else "")


def find_remote(address: str, folders: dict[str, dict[str, Mapping[str, Any]]]) -> list[StoredFile]:
    """An address or a glob. `folders` keeps what was listed: one request a folder, not one a file."""
    moved = HUB_FILE.fullmatch(address)
    url = f"{moved[1]}@{moved[3]}{moved[2]}" if moved else address
    with reaching(address):
        import fsspec  # type: ignore[import-untyped]

        filesystem, path = fsspec.core.url_to_fs(url)
        paths: list[str] = sorted(filesystem.glob(path)) if glob.has_magic(path) else [path]
        found: list[StoredFile] = []
        for path in paths:
            parent = path.rpartition("/")[0]
            if parent not in folders:
                listed = retry(lambda parent=parent: filesystem.ls(parent, detail=True), address)  # type: ignore[misc]
                folders[parent] = {str(info["name"]).rsplit("/", 1)[-1]: info for info in listed}
            info = folders[parent].get(path.rsplit("/", 1)[-1])
            if info is None:
                raise FileNotFoundError(path)
            protocol = url.partition("://")[0]
            stamp = next((f"{key} {info[key]}" for key in STAMPS if info.get(key)), "")
            found.append(
                RemoteFile(f"{protocol}://{path}", int(info["size"]), f"{info['size']} {stamp}", path, filesystem)
            )
    if not found:
        raise MissingInputError(f"no tar matches {address!r}; give an address, a glob or a range x-{{00..12}}.tar")
    return found


def retry(work: Callable[[], T], address: str) -> T:
    """Call `work` until it succeeds, pausing longer each time. Raises SourceError, MissingInputError."""
    with reaching(address):
        for attempt in range(ATTEMPTS - 1):
            try:
                return work()
            except (FileNotFoundError, PermissionError, NotImplementedError):
                raise
            except Exception as error:  # clients of many kinds, each with its own types
                if type(error).__name__ == "OfflineModeIsEnabled":
                    raise
                time.sleep(FIRST_PAUSE * 2**attempt)
        return work()


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Whatever a remote file system raises becomes one line."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingInputError(f"{address} does not exist, or may not be seen; check name and revision") from error
    except Exception as error:  # clients of many kinds, each with its own types
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{address} cannot be reached ({type(error).__name__}: {reason}); check address and network, "
            f"then run the same command again"
        ) from error
