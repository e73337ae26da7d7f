"""Reading shards by position: a map-style data set over (shard, offset, size), with flat memory.

The index is a few numpy arrays, so memory does not grow by Python objects and workers share it; reads are positional
(`os.pread`), so threads and forked workers never disturb each other, and spawned workers reopen by name.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.config import INSTALLED
from shards.errors import MissingInputError, OutputError, SchemaError
from shards.files import tar_damage, write_bytes
from shards.masks import U8
from shards.schema import (
    CODECS,
    MASK_MEMBER,
    META_MEMBER,
    SCHEMA_VERSION,
    Meta,
    Sample,
    decode_image,
    decode_mask,
    decode_meta,
    decode_sample,
    image_codec,
)

MEMBERS: tuple[str, ...] = (META_MEMBER, MASK_MEMBER, *CODECS, *(f"source.{codec}" for codec in CODECS))
INDEX_NAME, INDEX_VERSION = ".index.npz", 1
Spans = NDArray[np.int64]


def find_shards(where: str | Path | Sequence[str | Path]) -> list[Path]:
    """A run folder, a folder of tars, a tar, a glob, or a list of these -> tars in order. Raises MissingInputError.

    A folder that is not there is looked for beside the installed packages, where our labelled sets are.
    """
    if not isinstance(where, (str, Path)):
        return [path for one in where for path in find_shards(one)]
    path = Path(where)
    if not path.exists() and (INSTALLED / path).is_dir():
        path = INSTALLED / path
    if path.is_dir():
        found = sorted((path / "shards").glob("*.tar")) or sorted(path.glob("*.tar"))
        if not found:
            raise MissingInputError(f"no shards in {path}; expected {path}/shards/*.tar or {path}/*.tar")
        return found
    if path.is_file():
        return [path]
    matches = sorted(Path(name) for name in glob.glob(str(where), recursive=True))
    if not matches:
        raise MissingInputError(f"shards {where} do not exist; name a run folder, a tar or a glob")
    return matches


def scan_shard(path: Path) -> tuple[list[str], Spans]:
    """Keys of one tar and int64 [sample, member of MEMBERS, (offset, size)], -1 where a member is absent.

    Raises SchemaError for a damaged tar, a foreign member or another schema version.
    """
    keys: list[str] = []
    rows: list[NDArray[np.int64]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if not member.isfile() or extension not in MEMBERS:
                    raise SchemaError(f"{path}: member {member.name!r} is not one of {', '.join(MEMBERS)}")
                if not keys or keys[-1] != key:
                    keys.append(key)
                    rows.append(np.full((len(MEMBERS), 2), -1, np.int64))
                rows[-1][MEMBERS.index(extension)] = member.offset_data, member.size
            damage = tar_damage(path, tar.offset)
    except (tarfile.TarError, OSError) as error:
        raise SchemaError(f"{path}: not a readable tar ({error}); make it again or delete it") from error
    if damage:
        raise SchemaError(f"{path}: {damage}; make it again or delete it")
    return keys, np.stack(rows) if rows else np.zeros((0, len(MEMBERS), 2), np.int64)


class ShardReader(Sequence[Sample]):
    """Samples of one or more runs, by position.

    Args:
        where: see `find_shards`.
        cache: keep the index beside the tars as `.index.npz`, so that the next start reads no headers; a stale or
            damaged index is ignored, and a folder that cannot be written is left alone.

    Raises:
        MissingInputError: nothing there. SchemaError: damaged tars or another schema version.
    """

    def __init__(self, where: str | Path | Sequence[str | Path], cache: bool = True) -> None:
        self.paths = find_shards(where)
        keys: list[NDArray[Any]] = []
        spans: list[Spans] = []
        shards: list[NDArray[np.int32]] = []
        first = 0
        for folder, paths in group_by_folder(self.paths):
            part = load_index(folder, paths, cache)
            keys.append(part["keys"])
            spans.append(part["spans"])
            shards.append(part["shards"].astype(np.int32) + first)
            first += len(paths)
        self.keys: NDArray[Any] = np.concatenate(keys)
        """Sample keys as numpy bytes; `key(i)` gives text."""
        self._spans: Spans = np.concatenate(spans)
        self._shards: NDArray[np.int32] = np.concatenate(shards)
        self._handles: dict[int, int] = {}
        self._check_version()

    def _check_version(self) -> None:
        for shard in np.unique(self._shards):
            first = int(np.searchsorted(self._shards, shard))
            try:
                self.meta(first)
            except SchemaError as error:
                raise SchemaError(f"{self.paths[shard]}: {error} (expected schema version {SCHEMA_VERSION})") from error

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        """Sample `index`, all members decoded. Raises SchemaError naming the key."""
        index = self._at(index)
        return decode_sample(self.key(index), self.members(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def key(self, index: int) -> str:
        return bytes(self.keys[self._at(index)]).decode("ascii")

    def path(self, index: int) -> Path:
        """The tar that holds sample `index`."""
        return self.paths[int(self._shards[self._at(index)])]

    def find(self, key: str) -> int:
        """Index of the first sample with this key. Raises SchemaError if there is none."""
        found = np.flatnonzero(self.keys == key.encode("ascii", "replace"))
        if not len(found):
            raise SchemaError(f"no sample {key!r}; keys run from {self.key(0)} to {self.key(len(self) - 1)}")
        return int(found[0])

    def members(self, index: int) -> dict[str, bytes]:
        """The sample's files: {extension: bytes}."""
        index = self._at(index)
        present = [name for slot, name in enumerate(MEMBERS) if self._spans[index, slot, 0] >= 0]
        return {name: self.member(index, name) for name in present}

    def member(self, index: int, name: str) -> bytes:
        """One file of the sample. Raises SchemaError if it is not there or cut short."""
        index = self._at(index)
        offset, size = (int(value) for value in self._spans[index, MEMBERS.index(name)])
        if offset < 0:
            raise SchemaError(f"{self.key(index)}: member {name} is missing")
        data = os.pread(self._handle(int(self._shards[index])), size, offset)
        if len(data) != size:
            raise SchemaError(f"{self.key(index)}: {self.path(index)} ends early")
        return data

    def image_name(self, index: int) -> str:
        """Which member is the image: webp, png or jpg."""
        names = [name for slot, name in enumerate(MEMBERS) if self._spans[self._at(index), slot, 0] >= 0]
        return image_codec(self.key(index), names)

    def member_size(self, index: int, name: str) -> int:
        """Bytes of one file of the sample, -1 where it has none."""
        return int(self._spans[self._at(index), MEMBERS.index(name), 1])

    def image(self, index: int) -> U8:
        """uint8 HWC RGB of the sample's image."""
        return decode_image(self.member(index, self.image_name(index)))

    def mask(self, index: int) -> U8:
        """uint8 HW with 0, 1, 255."""
        return decode_mask(self.member(index, MASK_MEMBER))

    def source(self, index: int) -> U8 | None:
        """uint8 HWC RGB of the clean twin, None where there is none."""
        for codec in CODECS:
            if self._spans[self._at(index), MEMBERS.index(f"source.{codec}"), 0] >= 0:
                return decode_image(self.member(index, f"source.{codec}"))
        return None

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
            self._handles[shard] = os.open(self.paths[shard], os.O_RDONLY)
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
        return {**self.__dict__, "_handles": {}}


def group_by_folder(paths: list[Path]) -> list[tuple[Path, list[Path]]]:
    """Runs of neighbouring paths that share a folder."""
    groups: list[tuple[Path, list[Path]]] = []
    for path in paths:
        if groups and groups[-1][0] == path.parent:
            groups[-1][1].append(path)
        else:
            groups.append((path.parent, [path]))
    return groups


def load_index(folder: Path, paths: list[Path], cache: bool) -> dict[str, NDArray[Any]]:
    """The index of these tars, from the cache if it was made from exactly these files."""
    stamp = np.array([f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths] + [str(INDEX_VERSION)])
    if cache:
        stored = read_index(folder / INDEX_NAME)
        if stored is not None and np.array_equal(stored["stamp"], stamp):
            return stored
    scanned = [scan_shard(path) for path in paths]
    index = {
        "stamp": stamp,
        "keys": np.array([key for keys, _ in scanned for key in keys], dtype=np.bytes_),
        "spans": np.concatenate([spans for _, spans in scanned]),
        "shards": np.repeat(np.arange(len(paths), dtype=np.int32), [len(keys) for keys, _ in scanned]),
    }
    if cache:
        buffer = io.BytesIO()
        np.savez(buffer, **index)  # type: ignore[arg-type]
        with contextlib.suppress(OutputError):
            write_bytes(folder / INDEX_NAME, buffer.getvalue())
    return index


def read_index(path: Path) -> dict[str, NDArray[Any]] | None:
    """A cached index, or None if there is none or it is damaged. Never unpickles."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            index = {name: stored[name] for name in ("stamp", "keys", "spans", "shards")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if index["spans"].shape[1:] != (len(MEMBERS), 2) or len(index["spans"]) != len(index["shards"]):
        return None
    return index
