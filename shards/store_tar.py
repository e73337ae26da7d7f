"""A tar in an object store, read by range, or whole once that costs no more.

A request costs as much as the bytes that pass meanwhile. Once the requests for one tar have cost what it holds, it is
fetched as a whole into the cache of this machine (shards/store_cache.py): so no way of reading costs more than twice
what the better one would have.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from shards.errors import SourceError
from shards.guard.plain_file import open_plain
from shards.progress import Progress
from shards.store_cache import ShardCache
from shards.store_reads import Listed, Reads
from shards.stores import Address

REQUEST = 1 << 20
"""Bytes that pass while one request is answered: 30 ms at 35 MB/s."""
PIECE = 1 << 24
"""Bytes of one request where a tar is fetched whole."""
FETCHERS = 4
"""Tars that are fetched at a time."""
WINDOW = 1 << 16
"""Bytes that are read at once where headers are looked for."""
Watch = Callable[[int], None]


class StoredTar:
    """One tar of a listing; `name`, `stem` and `parent` as of a path. Pickles; safe in threads and forked processes.

    Args:
        folder: where it lies. reads, root: who reads it, and the address that this one's names begin at.
        samples: how many samples its done mark or manifest states, -1 where neither does.
        sha256: the tar's, as they state it; "" where neither does.
        whole: fetch it at the first read, for who will read most of it.
    """

    def __init__(
        self,
        reads: Reads,
        object_name: str,
        listed: Listed,
        cache: ShardCache,
        samples: int = -1,
        sha256: str = "",
        whole: bool = False,
    ) -> None:
        self.reads, self.object_name, self.listed, self.cache = reads, object_name, listed, cache
        self.samples, self.sha256, self.whole = samples, sha256, whole
        self.address = Address(reads.address / object_name)
        self._spent = 0

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> Address:
        """The folder around it."""
        return self.address.parent

    @property
    def size(self) -> int:
        """Bytes."""
        return self.listed.size

    def __str__(self) -> str:
        return self.address.url

    def identity(self) -> str:
        """What tells its content from another: the sha256 where it is known, else size and tag."""
        return self.sha256 or f"{self.listed.size} bytes, tag {self.listed.tag}"

    def cached_name(self, suffix: str) -> str:
        """Of the file in the cache that is of this state of the tar."""
        return ShardCache.name(self.address.url, self.listed.size, self.listed.tag, suffix)

    def read_range(self, offset: int, size: int) -> bytes:
        """Bytes from the store, by one request. Raises SourceError."""
        return self.reads.read(self.object_name, self.listed, offset, size)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end. Raises SourceError."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        handle = self.open(size)
        if handle is None:
            return self.read_range(offset, size)
        try:
            return os.pread(handle, size, offset)
        finally:
            os.close(handle)

    def open(self, size: int) -> int | None:
        """A descriptor of the tar on this machine where it is there, or is fetched now that `size` more are wanted.

        None where it is to be read by range. The caller closes it; the file may be deleted meanwhile. Raises
        SourceError.
        """
        path = self.cache.find(self.cached_name(".tar"), self.size)
        if path is None:
            self._spent += max(size, REQUEST)
            if not self.whole and self._spent < self.size:
                return None
            self._spent, self.whole = 0, False
            if not self.fetch():
                return None
            path = self.cache.folder / self.cached_name(".tar")
        try:
            with open_plain(path) as file:
                handle = os.dup(file.fileno())
        except OSError:  # somebody made room meanwhile
            return None
        if os.fstat(handle).st_size != self.size:
            os.close(handle)
            return None
        return handle

    def fetch(self, keep: bool = False, watch: Watch = lambda size: None) -> bool:
        """Have the tar in the cache, compared with its sha256; False where the cache has no room for it.

        keep: do not give it up for another one. watch: is told of the bytes that came. Raises SourceError.
        """
        name = self.cached_name(".tar")
        if keep:
            self.cache.kept.add(name)
        found = self.cache.fill(name, self.size, lambda file: self.copy_to(file, watch))
        if found is None:
            self.cache.kept.discard(name)
        return found is not None

    def copy_to(self, file: BinaryIO, watch: Watch = lambda size: None, known: bool = True) -> None:
        """All bytes into a file. Raises SourceError, also where they are not the `known` ones; OSError."""
        digest = hashlib.sha256()
        for offset in range(0, self.size, PIECE):
            data = self.read_range(offset, min(PIECE, self.size - offset))
            digest.update(data)
            file.write(data)
            watch(len(data))
        if known and self.sha256 and digest.hexdigest() != self.sha256:
            raise SourceError(
                f"{self}: its bytes are not those of its done mark (sha256 {digest.hexdigest()[:16]}, there "
                f"{self.sha256[:16]}); if no command is making it again now, look with `blemish check`"
            )


class PinnedTar(StoredTar):
    """A tar of which this machine has a copy that is nobody else's."""

    def __init__(self, tar: StoredTar, path: Path) -> None:
        super().__init__(tar.reads, tar.object_name, tar.listed, tar.cache)
        self.path = path

    def open(self, size: int) -> int | None:
        """A descriptor of the copy."""
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)


def fetch_tars(tars: Sequence[StoredTar]) -> None:
    """Have tars in the cache, in order, as far as it has room; says how many it has none for. Raises SourceError."""
    if not tars:
        return
    lock = threading.Lock()
    with (
        ThreadPoolExecutor(FETCHERS, "fetch") as pool,
        Progress(sum(tar.size for tar in tars), "B", "shards", delay=2, leave=False) as shown,
    ):

        def watch(size: int) -> None:
            with lock:
                shown.update(size)

        there = list(pool.map(lambda tar: tar.fetch(keep=True, watch=watch), tars))
    left = [tar for tar, fetched in zip(tars, there, strict=True) if not fetched]
    if left:
        cache = tars[0].cache
        print(
            f"{len(left)} of {len(tars)} shards ({sum(tar.size for tar in left) / 1e9:.3g} GB) have no room in the "
            f"cache {cache.folder} of {cache.most / 1e9:.3g} GB (BLEMISH_CACHE_GB) and are read by range",
            file=sys.stderr,
        )


class Window:
    """A tar in which what lies close together is read at once."""

    def __init__(self, tar: StoredTar) -> None:
        self.tar = tar
        self._start, self._data = 0, b""

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end."""
        start = offset - self._start
        if start < 0 or start + size > len(self._data):
            self._start, self._data = offset, self.tar.read(offset, max(size, WINDOW))
            start = 0
        return self._data[start : start + size]
