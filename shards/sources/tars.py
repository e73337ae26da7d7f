"""WebDataset tars as a source, here or behind an address: an index says what lies where, pictures are read by range.

A sample is all members that share the part of their path before the first dot of the base name, as WebDataset has it;
image members may be jpg, jpeg, png or webp, mixed within a tar. A caption comes from .txt, else from .json.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.errors import SchemaError, SourceError
from shards.guard.json_text import RECORD, parse_json
from shards.progress import GOES_ON, Progress
from shards.source import Reject
from shards.sources.listed import MAX_CAPTION_BYTES, ListedOptions, ListedSource
from shards.sources.pictures import MAX_FILE_BYTES
from shards.sources.stores import StoredFile, find_files
from shards.sources.tar_index import open_index
from shards.sources.tar_table import IMAGE_MEMBERS, PARTS, TarIndex

CAPTION_KEYS = ("caption", "short_caption", "prompt", "original_prompt", "text", "long_caption", "title")
LOCAL_READERS, REMOTE_READERS = 2, 16
"""Tars that are indexed at the same time."""


@dataclass(frozen=True, kw_only=True)
class TarOptions(ListedOptions):
    """Options of the source `webdataset`."""

    tars: str | tuple[str, ...]
    """A path, a glob, a brace range such as "data-{000000..000068}.tar", an address such as
    hf://datasets/OWNER/NAME@REVISION/data/*.tar (or s3://, https://, .. where fsspec knows it), or a list of these."""
    caption_keys: str | tuple[str, ...] = CAPTION_KEYS
    """JSON keys tried in turn where there is no .txt; of a list of captions the first is taken."""
    index: str = ""
    """Folder for index files; "" keeps them beside local tars and in the user's cache folder, "none" nowhere."""


class TarSource(ListedSource):
    """Samples of tars in the order of the list. Damage ends a tar with one reject, `corrupt_tar`."""

    Options = TarOptions
    grows = ("limit", "select", "tars")

    def __init__(self, options: TarOptions) -> None:
        self.files = find_files([options.tars] if isinstance(options.tars, str) else options.tars)
        if not self.files:
            raise SourceError("the list of tars is empty; give a path, a glob or a range x-{00..12}.tar")
        keys = options.caption_keys
        self.caption_keys = (keys,) if isinstance(keys, str) else keys
        self._indexes = open_indexes(self.files, options.index)
        # A place is a row of a tar, or -1: the damage that ends it.
        sizes = [len(index) + bool(index.problem) for index in self._indexes]
        self._tars = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        rows = [np.arange(size, dtype=np.int32) for size in sizes]
        for row, index in zip(rows, self._indexes, strict=True):
            if index.problem:
                row[-1] = -1
        self._rows = np.concatenate(rows) if rows else np.zeros(0, np.int32)
        if not len(self._rows):
            raise SourceError(f"no sample in {len(self.files)} tar(s), the first {self.files[0].address}")
        super().__init__(options, folder_name(self.files[0]), len(self._rows))

    def _at(self, place: int) -> tuple[StoredFile, TarIndex, int]:
        tar = int(self._tars[place])
        return self.files[tar], self._indexes[tar], int(self._rows[place])

    def uri(self, place: int) -> str:
        file, index, row = self._at(place)
        return f"{file.name}#{index.name(row)}" if row >= 0 else file.name

    def uris(self, places: Sequence[int]) -> Iterator[str]:
        """As `uri`, ten times as fast where places follow each other: a draw asks for a million."""
        now, ends, blob, name = -1, [0], b"", ""
        tars, rows = self._tars[places].tolist(), self._rows[places].tolist()
        for tar, row in zip(tars, rows, strict=True):
            if tar != now:
                now, name = tar, self.files[tar].name
                ends, blob = [0, *self._indexes[tar].ends.tolist()], self._indexes[tar].names.tobytes()
            inner = blob[ends[row] : ends[row + 1]].decode("utf-8", "backslashreplace")
            yield f"{name}#{inner}" if row >= 0 else name

    def byte_size(self, place: int) -> int:
        _, index, row = self._at(place)
        return int(index.spans[row, PARTS.index("image"), 1]) if row >= 0 else -1

    def sides(self, place: int) -> tuple[int, int] | None:
        _, index, row = self._at(place)
        width, height = (int(side) for side in index.sides[row])
        return (width, height) if width > 0 and height > 0 else None

    def broken(self, place: int) -> bool:
        return bool(self._rows[place] < 0)

    def unwanted(self, place: int) -> Reject | None:
        """A draw is among pictures; without one, a sample that has none is rejected where it stands."""
        return self._no_image(place) if self.byte_size(place) < 0 else None

    def read(self, place: int) -> bytes | Reject:
        file, index, row = self._at(place)
        if row < 0:
            return Reject(file.name, "corrupt_tar", index.problem)
        data = self._part(place, "image")
        return self._no_image(place) if data is None else data

    def caption(self, place: int) -> str:
        data = self._part(place, "txt")
        if isinstance(data, bytes):
            return data.decode("utf-8-sig", "replace").strip()
        data = None if isinstance(data, Reject) else self._part(place, "json")
        return caption_of(data, self.caption_keys) if isinstance(data, bytes) else ""

    def _no_image(self, place: int) -> Reject:
        _, index, row = self._at(place)
        flaw = index.flaw(row)
        if flaw is not None:
            return Reject(self.uri(place), *flaw)
        found = index.kind_names[index.kinds[row]].replace(",", ", ") or "nothing"
        return Reject(self.uri(place), "no_image", f"found {found}; an image is {', '.join(IMAGE_MEMBERS)}")

    def _part(self, place: int, part: str) -> bytes | Reject | None:
        """A member's bytes, None where the sample has no such member. Raises SourceError (stores.py)."""
        file, index, row = self._at(place)
        offset, size = (int(number) for number in index.spans[row, PARTS.index(part)])
        if offset < 0:
            return None
        if part == "txt":
            size = min(size, MAX_CAPTION_BYTES)
        elif size > (largest := MAX_FILE_BYTES if part == "image" else RECORD.max_bytes):
            return Reject(self.uri(place), "too_large", f"{size} bytes; at most {largest} are read")
        try:
            data = file.read(offset, size)
        except OSError as error:
            return Reject(self.uri(place), "unreadable", error.strerror or str(error))
        if len(data) != size:
            return Reject(self.uri(place), "truncated", f"the tar holds {len(data)} of {size} bytes")
        return data


def folder_name(file: StoredFile) -> str:
    """What a set is called by default: the folder of its first tar; for the hub, the data set."""
    if not file.remote:
        return Path(file.address).resolve().parent.name
    parts = file.address.partition("://")[2].split("/")
    if file.address.startswith("hf://datasets/"):
        return "/".join(parts[1:3]).partition("@")[0]
    return parts[-2] if len(parts) > 1 else ""


def open_indexes(files: list[StoredFile], where: str) -> list[TarIndex]:
    """The indexes of all tars, made where they are missing: several at a time, with a bar over their bytes."""
    readers = REMOTE_READERS if any(file.remote for file in files) else LOCAL_READERS
    total = sum(max(file.size, 0) for file in files)
    lock = threading.Lock()
    # No bar where all indexes are there already.
    with Progress(total, "B", "index of tars", delay=2, leave=False, resumes=GOES_ON) as shown:

        def open_one(file: StoredFile) -> TarIndex:
            seen = 0

            def progress(position: int) -> None:
                nonlocal seen
                with lock:
                    shown.update(position - seen)
                seen = position

            return open_index(file, where, progress)

        with ThreadPoolExecutor(readers, "indexer") as pool:
            waiting = [pool.submit(open_one, file) for file in files]
            try:
                return [future.result() for future in waiting]
            finally:
                for future in waiting:
                    future.cancel()


def caption_of(data: bytes, keys: tuple[str, ...]) -> str:
    """The first usable caption of a JSON record; a list of captions gives its first."""
    try:
        record = parse_json(data, "record", lenient=True)
    except SchemaError:
        return ""
    if not isinstance(record, dict):
        return ""
    for key in keys:
        value = record.get(key)
        if isinstance(value, list):
            value = next((item for item in value if isinstance(item, str) and item.strip()), "")
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""
