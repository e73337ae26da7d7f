"""Reading shards by position: a map-style data set over (shard, offset, size), with flat memory.

The index is a few numpy arrays, so memory does not grow by Python objects and workers share it; reads are positional
(`os.pread`), so threads and forked workers never disturb each other, and spawned workers reopen by name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import SchemaError
from shards.guard.plain_file import open_plain
from shards.masks import U8
from shards.progress import Progress
from shards.schema import (
    CODECS,
    MASK_MEMBER,
    MAX_MEMBER,
    MAX_SIZES,
    META_MEMBER,
    Meta,
    Sample,
    decode_image,
    decode_mask,
    decode_meta,
    decode_sample,
    image_codec,
)
from shards.shard_index import KEY_BYTES, MEMBERS, SLOTS, Spans, group_by_folder, load_index
from shards.shard_paths import Tar
from shards.shard_paths import find_shards as find_shards  # also looked for here
from shards.store_index import READERS, stored_index
from shards.store_tar import StoredTar, fetch_tars

GAP = 1 << 11
"""Bytes between two files of a sample that are read along: a header and what fills a block up."""
UNKNOWN = -2
"""In the place of offsets of members of a tar whose headers were not looked at yet."""
TWINS = tuple(f"source.{codec}" for codec in CODECS)


def blank_rows(count: int) -> tuple[NDArray[Any], Spans]:
    """Keys and places of samples that are not known yet."""
    return np.zeros(count, f"S{KEY_BYTES}"), np.full((count, len(MEMBERS), 2), UNKNOWN, np.int64)


class ShardReader(Sequence[Sample]):
    """Samples of one or more runs, by position.

    Args:
        where: see `find_shards`; a folder of this machine, or of an object store, s3://bucket/run.
        cache: keep the index beside the tars as `.index.npz`, so that the next start reads no headers; a stale or
            damaged index is ignored, and a folder that cannot be written is left alone. (Of tars in a store it is kept
            in the cache of this machine, shards/store_cache.py.)
        whole: of tars in a store, fetch each one whole when it is first read, for who will read most of it; else
            members are read by range until that costs as much (shards/store_tar.py).

    Raises:
        MissingInputError: nothing there. SchemaError: damaged tars or another schema version. SourceError: the store
        cannot be reached, or a tar there is gone or another than when it was listed; also when a sample is read.
        Headers of tars in a store are read when one of their samples is first asked for.
    """

    def __init__(self, where: str | Tar | Sequence[str | Tar], cache: bool = True, whole: bool = False) -> None:
        self.paths: list[Tar] = find_shards(where, whole)
        self._cache = cache
        self._handles: dict[int, int] = {}
        self._unlearned: set[int] = set()
        """Shards whose rows are not filled in yet."""
        self._lock, self._lock_of = threading.Lock(), os.getpid()
        keys: list[NDArray[Any]] = []
        spans: list[Spans] = []
        shards: list[NDArray[np.int32]] = []
        first = 0
        for folder, paths in group_by_folder(self.paths):
            stored = [path for path in paths if isinstance(path, StoredTar)]
            if stored:
                self._count(stored, first, keys, spans, shards)
            else:
                part = load_index(Path(str(folder)), [path for path in paths if isinstance(path, Path)], cache)
                keys.append(part.keys)
                spans.append(part.spans)
                shards.append(part.shards + np.int32(first))
            first += len(paths)
        self._keys: NDArray[Any] = np.concatenate(keys)
        self._spans: Spans = np.concatenate(spans)
        self._shards: NDArray[np.int32] = np.concatenate(shards)
        for shard in np.unique(self._shards).tolist():
            if shard not in self._unlearned:
                self._check_version(shard)

    def _count(
        self,
        stored: list[StoredTar],
        first: int,
        keys: list[NDArray[Any]],
        spans: list[Spans],
        shards: list[NDArray[np.int32]],
    ) -> None:
        """Rows to be filled in for tars whose number of samples is stated; of the others headers are read now."""
        unstated = [tar for tar in stored if tar.samples < 0]
        with ThreadPoolExecutor(READERS, "index") as pool:
            found = dict(zip(map(str, unstated), pool.map(self._index, unstated), strict=True))
        for shard, tar in enumerate(stored, first):
            learned, rows = found.get(str(tar)) or blank_rows(tar.samples)
            if str(tar) not in found:
                self._unlearned.add(shard)
            keys.append(learned)
            spans.append(rows)
            shards.append(np.full(len(learned), shard, np.int32))

    def _index(self, tar: StoredTar) -> tuple[NDArray[Any], Spans]:
        return stored_index(tar, self._cache)

    def learn(self, shards: Iterable[int] | None = None) -> None:
        """Read the headers of these tars in stores, of all of them by default, unless that was done.

        Raises SchemaError, SourceError.
        """
        if not self._unlearned:
            return
        if self._lock_of != os.getpid():  # that of a process which was forked may be held for ever
            self._lock, self._lock_of = threading.Lock(), os.getpid()
        with self._lock:
            wanted = sorted(self._unlearned if shards is None else self._unlearned.intersection(shards))
            tars = [tar for tar in (self.paths[shard] for shard in wanted) if isinstance(tar, StoredTar)]
            with (
                ThreadPoolExecutor(READERS, "index") as pool,
                Progress(len(tars), "shard", "headers", delay=2, leave=False, quiet=len(tars) < 2) as shown,
            ):
                for shard, (keys, rows) in zip(wanted, pool.map(self._index, tars), strict=True):
                    start, stop = np.searchsorted(self._shards, [shard, shard + 1])
                    self._keys[start:stop], self._spans[start:stop] = keys, rows
                    self._check_version(shard)
                    self._unlearned.discard(shard)
                    shown.update()

    def fetch(self) -> None:
        """Have the tars that lie in stores on this machine, as far as its cache has room; the others stay by range.

        Raises SchemaError, SourceError.
        """
        fetch_tars([path for path in self.paths if isinstance(path, StoredTar)])
        self.learn()

    def want_whole(self) -> None:
        """Fetch each tar of a store whole when it is read next, as with `whole`."""
        for path in self.paths:
            if isinstance(path, StoredTar):
                path.whole = True

    def _check_version(self, shard: int) -> None:
        first = int(np.searchsorted(self._shards, shard))
        if first == len(self._shards) or self._shards[first] != shard:
            return
        try:
            decode_meta(self._member(first, META_MEMBER))
        except SchemaError as error:
            raise SchemaError(f"{self.paths[shard]}: {error}") from error

    @property
    def keys(self) -> NDArray[Any]:
        """Sample keys as numpy bytes; `key(i)` gives text."""
        self.learn()
        return self._keys

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        """Sample `index`, all members decoded. Raises SchemaError naming the key."""
        index = self._at(index)
        return decode_sample(self.key(index), self.members(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def key(self, index: int) -> str:
        index = self._at(index)
        self._row(index)
        return self._key(index)

    def path(self, index: int) -> Tar:
        """The tar that holds sample `index`."""
        return self.paths[int(self._shards[self._at(index)])]

    def find(self, key: str) -> int:
        """Index of the first sample with this key. Raises SchemaError if there is none."""
        wanted = key.encode("ascii", "replace")
        # Of tars in stores first those that are named as the key has it.
        self.learn([shard for shard, path in enumerate(self.paths) if path.stem == key.partition("_")[0]])
        found = np.flatnonzero(self._keys == wanted)
        if not len(found):
            found = np.flatnonzero(self.keys == wanted)
        if not len(found):
            raise SchemaError(f"no sample {key[:40]!r}; keys run from {self.key(0)} to {self.key(len(self) - 1)}")
        return int(found[0])

    def members(self, index: int) -> dict[str, bytes]:
        """The sample's files: {extension: bytes}."""
        index = self._at(index)
        row = self._row(index)
        present = [name for slot, name in enumerate(MEMBERS) if row[slot, 0] >= 0]
        spans = [self._span(index, name) for name in present]
        start, stop = min(one[0] for one in spans), max(sum(one) for one in spans)
        shard = int(self._shards[index])
        by_range = isinstance(self.paths[shard], StoredTar) and shard not in self._handles
        if not by_range or stop - start > sum(size for _, size in spans) + GAP * len(spans):
            return {name: self._member(index, name) for name in present}
        data = self._read(shard, start, stop - start)  # one request in place of one a member
        return {
            name: data[offset - start : offset - start + size]
            for name, (offset, size) in zip(present, spans, strict=True)
        }

    def member(self, index: int, name: str) -> bytes:
        """One file of the sample. Raises SchemaError if it is not there, cut short, or too large to be one."""
        index = self._at(index)
        self._row(index)
        return self._member(index, name)

    def head(self, index: int, name: str, size: int) -> bytes:
        """The first `size` bytes of a file of the sample, fewer where it has no more; as `member`."""
        index = self._at(index)
        self._row(index)
        return self._member(index, name, size)

    def _member(self, index: int, name: str, most: int | None = None) -> bytes:
        """Of a sample whose row is known."""
        offset, size = self._span(index, name)
        size = size if most is None else min(size, most)
        data = self._read(int(self._shards[index]), offset, size)
        if len(data) != size:
            raise SchemaError(f"{self._key(index)}: {self.path(index)} ends early")
        return data

    def _span(self, index: int, name: str) -> tuple[int, int]:
        """(offset, size) of a file of a sample whose row is known. Raises SchemaError: as `member`."""
        offset, size = self._spans[index, SLOTS[name]].tolist()
        if offset < 0:
            raise SchemaError(f"{self._key(index)}: member {name} is missing")
        largest = MAX_SIZES.get(name, MAX_MEMBER)
        if size > largest:
            raise SchemaError(f"{self._key(index)}: member {name} has {size} bytes; at most {largest} are read")
        return offset, size

    def _key(self, index: int) -> str:
        return bytes(self._keys[index]).decode("ascii")

    def _read(self, shard: int, offset: int, size: int) -> bytes:
        tar = self.paths[shard]
        if isinstance(tar, StoredTar) and shard not in self._handles:
            handle = tar.open(size)
            if handle is None:
                return tar.read_range(offset, size)
            if self._handles.setdefault(shard, handle) != handle:  # another thread was first
                os.close(handle)
        return os.pread(self._handle(shard), size, offset)

    def _row(self, index: int) -> Spans:
        """The places of a sample's members; learns them where that was not done."""
        shard = int(self._shards[index])
        if shard in self._unlearned:
            self.learn([shard])
        row: Spans = self._spans[index]
        return row

    def image_name(self, index: int) -> str:
        """Which member is the image: webp, png or jpg."""
        row = self._row(self._at(index))
        names = [name for slot, name in enumerate(MEMBERS) if row[slot, 0] >= 0]
        return image_codec(self.key(index), names)

    def image_names(self) -> list[str]:
        """Which members are images, sorted, such as ["webp"]. Raises SchemaError unless each sample has just one."""
        self.learn()
        slots = [SLOTS[codec] for codec in CODECS]
        there: NDArray[Any] = self._spans[:, slots, 0] >= 0
        odd = np.flatnonzero(there.sum(axis=1) != 1)
        if len(odd):
            self.image_name(int(odd[0]))
        return sorted(codec for place, codec in enumerate(CODECS) if there[:, place].any())

    def source_name(self, index: int) -> str:
        """Which member is the clean twin, such as source.webp; "" where there is none."""
        row = self._row(self._at(index))
        return next((name for name in TWINS if row[MEMBERS.index(name), 0] >= 0), "")

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of all members of each sample."""
        self.learn()
        sizes: NDArray[np.int64] = np.where(self._spans[:, :, 0] >= 0, self._spans[:, :, 1], 0).sum(axis=1)
        return sizes

    def member_size(self, index: int, name: str) -> int:
        """Bytes of one file of the sample, -1 where it has none."""
        return int(self._row(self._at(index))[SLOTS[name], 1])

    def image(self, index: int) -> U8:
        """uint8 HWC RGB of the sample's image."""
        return decode_image(self.member(index, self.image_name(index)))

    def mask(self, index: int) -> U8:
        """uint8 HW with 0, 1, 255."""
        return decode_mask(self.member(index, MASK_MEMBER))

    def source(self, index: int) -> U8 | None:
        """uint8 HWC RGB of the clean twin, None where there is none."""
        name = self.source_name(index)
        return decode_image(self.member(index, name)) if name else None

    def meta(self, index: int) -> Meta:
        """The sample's facts, without decoding a picture."""
        return decode_meta(self.member(index, META_MEMBER))

    def _at(self, index: int) -> int:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} is outside 0..{len(self) - 1}")
        return index

    def _handle(self, shard: int) -> int:
        # Positional reads share a handle between threads and forks without harm.
        if shard not in self._handles:
            try:
                with open_plain(str(self.paths[shard])) as file:
                    self._handles[shard] = os.dup(file.fileno())
            except OSError as error:
                raise SchemaError(f"{self.paths[shard]} cannot be read ({error.strerror or error})") from error
        return self._handles[shard]

    def close(self) -> None:
        """Close the tars; the next read opens them again."""
        while self._handles:
            _, handle = self._handles.popitem()
            with contextlib.suppress(OSError):
                os.close(handle)

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {"_handles": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _lock_of=os.getpid())
