"""WebDataset tars as a source: one sequential pass over the headers, then seeks.

A sample is all members that share the part of their path before the first dot of the base name, as WebDataset has it;
image members may be jpg, jpeg, png or webp, mixed within a tar. A caption comes from .txt, else from .json.
"""

from __future__ import annotations

import glob
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import MissingInputError, SourceError
from shards.files import tar_damage
from shards.listed import ListedSource
from shards.pictures import Limits
from shards.source import Reject

IMAGE_MEMBERS = ("webp", "png", "jpg", "jpeg")
CAPTION_KEYS = ("caption", "short_caption", "prompt", "original_prompt", "text", "long_caption", "title")


@dataclass(frozen=True)
class Entry:
    """One sample of one tar: extension -> (offset, size) of its bytes; or the reject that stands for a bad tar."""

    tar: int
    key: str
    members: dict[str, tuple[int, int]]
    reject: Reject | None = None


class TarSource(ListedSource):
    """Samples of local tars in the order of the list.

    Args:
        tars: a path, a glob, a brace range such as "data-{000000..000068}.tar", or a list of these.
        caption_keys: JSON keys tried in turn when there is no .txt.
        set_name: default the name of the first tar's folder.
        licence, duplicates, limit, min_side, max_side: as for the folder source.
    """

    def __init__(
        self,
        tars: str | list[str] | tuple[str, ...],
        caption_keys: tuple[str, ...] | list[str] = CAPTION_KEYS,
        set_name: str = "",
        licence: str = "",
        duplicates: str = "keep",
        limit: int = 0,
        min_side: int = 16,
        max_side: int = 16384,
    ) -> None:
        self.paths = expand([tars] if isinstance(tars, str) else list(tars))
        super().__init__(
            set_name or self.paths[0].resolve().parent.name, licence, duplicates, Limits(min_side, max_side)
        )
        self.caption_keys = tuple(caption_keys)
        self._entries = [entry for number, path in enumerate(self.paths) for entry in scan_tar(path, number)]
        if limit:
            self._entries = self._entries[:limit]
        if not self._entries:
            raise SourceError(f"no sample in {len(self.paths)} tar(s), the first {self.paths[0]}")

    def __len__(self) -> int:
        return len(self._entries)

    def uri(self, index: int) -> str:
        entry = self._entries[index]
        tar = self.paths[entry.tar].name
        text = f"{tar}#{entry.key}" if entry.key else tar
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def byte_size(self, index: int) -> int:
        name = self._image_member(index)
        return self._entries[index].members[name][1] if name else -1

    def read(self, index: int) -> bytes | Reject:
        entry = self._entries[index]
        if entry.reject is not None:
            return entry.reject
        name = self._image_member(index)
        if name is None:
            found = ", ".join(sorted(entry.members)) or "nothing"
            return Reject(self.uri(index), "no_image", f"found {found}; an image is {', '.join(IMAGE_MEMBERS)}")
        return self._member(index, name)

    def caption(self, index: int) -> str:
        members = self._entries[index].members
        if "txt" in members:
            data = self._member(index, "txt")
            return "" if isinstance(data, Reject) else data.decode("utf-8-sig", "replace").strip()
        if "json" in members:
            data = self._member(index, "json")
            return "" if isinstance(data, Reject) else caption_of(data, self.caption_keys)
        return ""

    def _image_member(self, index: int) -> str | None:
        members = self._entries[index].members
        return next((name for name in IMAGE_MEMBERS if name in members), None)

    def _member(self, index: int, name: str) -> bytes | Reject:
        entry = self._entries[index]
        offset, size = entry.members[name]
        try:
            # A handle an access keeps threads, forks and pickling simple; opening costs microseconds.
            with self.paths[entry.tar].open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            return Reject(self.uri(index), "unreadable", error.strerror or str(error))
        if len(data) != size:
            return Reject(self.uri(index), "truncated", f"the tar holds {len(data)} of {size} bytes")
        return data


def expand(patterns: list[str]) -> list[Path]:
    """Brace ranges and globs to existing paths. Raises MissingInputError naming what is not there."""
    from braceexpand import braceexpand

    paths: list[Path] = []
    for pattern in patterns:
        for name in braceexpand(pattern):
            if os.path.exists(name):
                paths.append(Path(name))
                continue
            matches = sorted(glob.glob(name, recursive=True))
            if not matches:
                raise MissingInputError(f"no tar matches {name!r}; give a path, a glob or a range x-{{00..12}}.tar")
            paths.extend(Path(match) for match in matches)
    return paths


def scan_tar(path: Path, number: int) -> list[Entry]:
    """Read the headers of one tar. Damage ends the scan and adds one entry that is a Reject."""
    entries: list[Entry] = []
    group: dict[str, tuple[int, int]] = {}
    key: str | None = None
    problem = ""
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                stem, extension = split_member(member.name)
                if not extension or extension.startswith("."):
                    continue
                if stem != key and key is not None:
                    entries.append(Entry(number, key, group))
                    group = {}
                key = stem
                group[extension] = (member.offset_data, member.size)
                if member.offset_data + member.size > size:
                    problem = f"member {member.name} ends beyond the end of the file"
                    break
            else:
                problem = tar_damage(path, tar.offset)
    except (tarfile.TarError, OSError, ValueError) as error:
        problem = str(error)
    if key is not None:
        entries.append(Entry(number, key, group))
    if problem:
        hint = "; unpack it first, compressed tars cannot be read by position" if is_compressed(path) else ""
        entries.append(Entry(number, "", {}, Reject(path.name, "corrupt_tar", problem + hint)))
    return entries


def split_member(name: str) -> tuple[str, str]:
    """ "a/b.c/x.source.webp" -> ("a/b.c/x", "source.webp"); extensions in lower case."""
    folder, base = os.path.split(name)
    stem, _, extension = base.partition(".")
    return os.path.join(folder, stem), extension.lower()


def is_compressed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError:
        return False
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def caption_of(data: bytes, keys: tuple[str, ...]) -> str:
    """The first usable caption of a JSON record; a list of captions gives its first."""
    try:
        record: Any = json.loads(data)
    except ValueError:
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
