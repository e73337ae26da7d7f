"""Where PAL's files lie: a folder, or a zip that is read in place and never unpacked, so that no name leads out of it.

What a zip says of itself is checked before it is believed: the size of its directory, each member's sizes, method and
place. Two members over the same bytes are how a small zip becomes an endless one.
"""

from __future__ import annotations

import abc
import errno
import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from shards.errors import MissingInputError, SourceError, one_line
from shards.guard.plain_file import FileTooLargeError, kind_of, open_plain
from shards.guard.pointer import refuse_pointer
from shards.source import Reject
from shards.sources.folder import SIDECARS, list_files
from shards.sources.pictures import read_file

MAX_FILE = 1 << 27
"""Largest picture or label, packed or not, 128 MiB."""
MAX_DIRECTORY = 1 << 24
"""Most bytes of a zip's directory, 16 MiB; that of 100,000 files of usual names fits."""
PIECE = 1 << 20
SHOWN = 200
"""Longest piece of zipfile's own message that is passed on."""
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
"""Ways of packing that are read; bzip2 and LZMA unpack a piece to any size at once."""
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
    OSError,
    EOFError,
)
"""What zipfile raises on damage: a version that it does not know is a RuntimeError, a name no UTF-8 a ValueError."""


@dataclass(frozen=True)
class Entry:
    """A file of the set: its path with forward slashes, its size, and its CRC-32 (-1 where reading would be needed)."""

    path: str
    size: int
    crc: int = -1


class Store(abc.ABC):
    """Where the files are."""

    name: str
    """Name of the folder or zip, for sets whose root is the task's own folder."""

    @abc.abstractmethod
    def entries(self) -> list[Entry]:
        """Every file, sorted by path."""

    @abc.abstractmethod
    def read(self, entry: Entry) -> bytes | Reject:
        """The bytes of one file."""


class FolderStore(Store):
    """Files below a folder; hidden ones and text do not count."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, root.resolve().name

    def entries(self) -> list[Entry]:
        return [Entry(path, size) for path, size in list_files(self.root)]

    def read(self, entry: Entry) -> bytes | Reject:
        return read_file(self.root / entry.path, entry.path, MAX_FILE)


class DirectoryReader(io.BufferedReader):
    """The file as zipfile sees it while it opens the zip: it reads the whole directory, whatever size is stated."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises FileTooLargeError (an OSError) for more than MAX_DIRECTORY bytes."""
        if size is not None and size > MAX_DIRECTORY:
            raise FileTooLargeError(errno.EFBIG, f"a directory of {size} bytes; at most {MAX_DIRECTORY} are read")
        return super().read(size)


class ZipStore(Store):
    """Members of a zip. Raises SourceError if it is none."""

    def __init__(self, path: Path) -> None:
        refuse_pointer(path)
        self.path, self.name = path, path.stem
        try:
            self.zip = zipfile.ZipFile(DirectoryReader(open_plain(path).detach()))
        except ZIP_ERRORS as error:
            raise SourceError(f"{path} is no readable zip ({first_line(error)}); fetch it again") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self.zip.infolist():
            self._members.setdefault(member.filename, member)  # of two members of one name the first counts
        self._overlapping = overlapping(self.zip.infolist())

    def entries(self) -> list[Entry]:
        found = []
        for member in self.zip.infolist():
            # Not is_dir(), which fails on a name of no characters; and no PurePosixPath, which takes ten times as long.
            parts = member.filename.split("/")
            hidden = any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)
            if not parts[-1] or hidden or os.path.splitext(parts[-1])[1].lower() in SIDECARS:
                continue
            found.append(Entry(member.filename, member.file_size, member.CRC))
        return sorted(found, key=lambda entry: entry.path.encode("utf-8", "surrogateescape"))

    def read(self, entry: Entry) -> bytes | Reject:
        member = self._members[entry.path]
        if max(member.file_size, member.compress_size) > MAX_FILE:
            return Reject(entry.path, "too_large", f"{member.file_size} bytes; at most {MAX_FILE} are read")
        if member.compress_type not in METHODS:
            return Reject(
                entry.path, "unreadable", f"packed by method {member.compress_type}; stored and deflated are read"
            )
        if member.header_offset in self._overlapping:
            return Reject(entry.path, "unreadable", "its bytes are those of another member as well")
        try:
            return self._unpack(member)
        except ZIP_ERRORS as error:
            return Reject(entry.path, "unreadable", f"{type(error).__name__}: {first_line(error)}")

    def _unpack(self, member: zipfile.ZipInfo) -> bytes:
        """A member's bytes; its checksum is verified at their end. Raises ZIP_ERRORS."""
        data = bytearray()
        with self.zip.open(member) as file:
            while piece := file.read(PIECE):
                data += piece
                if len(data) > member.file_size:
                    break
        if len(data) != member.file_size:
            raise zipfile.BadZipFile(f"{len(data)} bytes were packed, {member.file_size} stated")
        return bytes(data)


def overlapping(members: list[zipfile.ZipInfo]) -> frozenset[int]:
    """Offsets of the members whose bytes reach into the next member."""
    placed = sorted((member.header_offset, member.compress_size) for member in members)
    header = zipfile.sizeFileHeader  # type: ignore[attr-defined]
    return frozenset(here for (here, size), (after, _) in pairwise(placed) if here + header + size > after)


def first_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return one_line(text, SHOWN) or type(error).__name__


def open_store(source: Path) -> Store:
    """A folder or a zip. Raises MissingInputError, SourceError."""
    if not source.exists():
        raise MissingInputError(f"{source} does not exist; name PAL's zip or the folder it was unpacked to")
    kind = kind_of(source)
    if kind not in ("file", "folder"):
        raise SourceError(f"{source} is a {kind}; name PAL's zip or the folder it was unpacked to")
    return FolderStore(source) if kind == "folder" else ZipStore(source)
