"""Reading shards by position: a map-style data set over (shard, offset, size), with flat memory.

The index is a few numpy arrays, so memory does not grow by Python objects and workers share it; reads are positional
(`os.pread`), so threads and forked workers never disturb each other, and spawned workers reopen by name.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.config import INSTALLED
from shards.errors import MissingInputError, SchemaError
from shards.guard.plain_file import open_plain
from shards.masks import U8
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
from shards.shard_index import MEMBERS, SLOTS, Spans, group_by_folder, load_index

TWINS = tuple(f"source.{codec}" for codec in CODECS)


def find_shards(where: str | Path | Sequence[str | Path]) -> list[Path]:
    """A run folder, a folder of tars, a tar, a glob, or a list of these -> tars in order.

    A folder that is not there is looked for beside the installed packages, where our labelled sets are.

    Raises MissingInputError; SchemaError for a file that is plainly something else.
    """
    if not isinstance(where, (str, Path)):
        return [path for one in where for path in find_shards(one)]
    try:
        return _find_shards(where)
    except (MissingInputError, SchemaError):
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or holds what no name may
        raise MissingInputError(f"shards {str(where)[:200]!r} cannot be looked at ({error})") from error


def _find_shards(where: str | Path) -> list[Path]:
    path = Path(where)
    if not path.exists() and (INSTALLED / path).is_dir():
        path = INSTALLED / path
    if path.is_dir():
        found = sorted((path / "shards").glob("*.tar")) or sorted(path.glob("*.tar"))
        if not found:
            raise MissingInputError(f"no shards in {path}; expected {path}/shards/*.tar or {path}/*.tar")
        return found
    if path.is_file():
        kind = other_kind(path)
        if kind:
            raise SchemaError(f"{path} is {kind}, no shard; name a run, a tar or a glob (docs/reference/formats.md)")
        return [path]
    if "://" in str(where):
        raise MissingInputError(
            f"shards {where} are in an object store; fetch them into a folder first (docs/how-to/object_stores.md)"
        )
    matches = sorted(Path(name) for name in glob.glob(str(where), recursive=True))
    if not matches:
        raise MissingInputError(f"shards {where} do not exist; name a run folder, a tar or a glob")
    return matches


def other_kind(path: Path) -> str:
    """What a file is that somebody may take for a shard, by its first bytes; "" where it may be a tar."""
    if path.suffix.lower() == ".tar":
        return ""
    try:
        with open_plain(path) as file:
            head = file.read(64)
    except OSError:
        return ""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "a JSON file (COCO annotations, for example)"
    pictures = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")
    return "a picture" if head.startswith(pictures) else ""


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
            keys.append(part.keys)
            spans.append(part.spans)
            shards.append(part.shards + np.int32(first))
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
                raise SchemaError(f"{self.paths[shard]}: {error}") from error

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
            raise SchemaError(f"no sample {key[:40]!r}; keys run from {self.key(0)} to {self.key(len(self) - 1)}")
        return int(found[0])

    def members(self, index: int) -> dict[str, bytes]:
        """The sample's files: {extension: bytes}."""
        index = self._at(index)
        present = [name for slot, name in enumerate(MEMBERS) if self._spans[index, slot, 0] >= 0]
        return {name: self.member(index, name) for name in present}

    def member(self, index: int, name: str) -> bytes:
        """One file of the sample. Raises SchemaError if it is not there, cut short, or too large to be one."""
        index = self._at(index)
        offset, size = self._spans[index, SLOTS[name]].tolist()
        if offset < 0:
            raise SchemaError(f"{self.key(index)}: member {name} is missing")
        largest = MAX_SIZES.get(name, MAX_MEMBER)
        if size > largest:
            raise SchemaError(f"{self.key(index)}: member {name} has {size} bytes; at most {largest} are read")
        data = os.pread(self._handle(int(self._shards[index])), size, offset)
        if len(data) != size:
            raise SchemaError(f"{self.key(index)}: {self.path(index)} ends early")
        return data

    def image_name(self, index: int) -> str:
        """Which member is the image: webp, png or jpg."""
        names = [name for slot, name in enumerate(MEMBERS) if self._spans[self._at(index), slot, 0] >= 0]
        return image_codec(self.key(index), names)

    def image_names(self) -> list[str]:
        """Which members are images, sorted, such as ["webp"]. Raises SchemaError unless each sample has just one."""
        slots = [MEMBERS.index(codec) for codec in CODECS]
        there: NDArray[Any] = self._spans[:, slots, 0] >= 0
        odd = np.flatnonzero(there.sum(axis=1) != 1)
        if len(odd):
            self.image_name(int(odd[0]))
        return sorted(codec for place, codec in enumerate(CODECS) if there[:, place].any())

    def source_name(self, index: int) -> str:
        """Which member is the clean twin, such as source.webp; "" where there is none."""
        row = self._spans[self._at(index)]
        return next((name for name in TWINS if row[MEMBERS.index(name), 0] >= 0), "")

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of all members of each sample."""
        sizes: NDArray[np.int64] = np.where(self._spans[:, :, 0] >= 0, self._spans[:, :, 1], 0).sum(axis=1)
        return sizes

    def member_size(self, index: int, name: str) -> int:
        """Bytes of one file of the sample, -1 where it has none."""
        return int(self._spans[self._at(index), SLOTS[name], 1])

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
                with open_plain(self.paths[shard]) as file:
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
        return {**self.__dict__, "_handles": {}}
