"""One walk over the headers of a tar, for whoever reads tars here: sizes are bounded before anything is believed.

`tarfile` recurses once for each long-name or pax header in a row, believes sizes below zero and beyond the end of the
file, and takes a damaged header for the end. Formats read: V7, ustar, GNU (long names) and pax. Members are never
unpacked; they are read by position.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Longest long name or pax header, in bytes."""
MAX_NAME = 1 << 12
"""Longest name or link, in characters."""
MAX_CHAIN = 8
"""Most headers in a row that only say something of the next member."""
TAIL_PIECE = 1 << 20

Kind = Literal["file", "folder", "link", "hard link", "special", "sparse"]
KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "special",
    b"4": "special",
    b"5": "folder",
    b"6": "special",
    b"S": "sparse",
}
WITHOUT_DATA = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
OCTAL = re.compile(rb"[0-7]*")
ZERO = bytes(BLOCK)


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member: data bytes [data_offset, data_offset + size) lie within the file."""

    name: str
    """UTF-8; bytes that are none are kept as surrogates."""
    kind: Kind
    offset: int
    """Of its first header."""
    data_offset: int
    size: int
    link: str = ""
    """What a link or hard link names."""


class TarDamage(ValueError):
    """What is wrong with a tar, and at which byte."""


@dataclass(slots=True)
class _Said:
    """What extension headers said of the next member."""

    long_name: bytes | None = None
    long_link: bytes | None = None
    pax: dict[bytes, bytes] = field(default_factory=dict)


class TarWalk:
    """Iterates over the members from `position`; then `problem` is "" where the tar ended well, else what is wrong.

    Args:
        read: (offset, size) -> bytes, fewer at the end of the file; asked for at most MAX_EXTENSION at once. What it
            raises passes.
        size: bytes of the file.
        position: where to begin, the offset of a member.
        tail: how many bytes behind an end mark are looked at; there must be nothing but zeros.
        read_on: go on with a tar that was written behind the end mark of another, as `cat a.tar b.tar` does.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size: int,
        position: int = 0,
        tail: int = 1 << 62,
        read_on: bool = False,
    ) -> None:
        self._read, self._size, self.position, self._tail, self._read_on = read, size, position, tail, read_on
        self.problem = ""

    def __iter__(self) -> Iterator[TarMember]:
        while True:
            try:
                member = self._next()
            except TarDamage as damage:
                self.problem = str(damage)
                return
            if member is None:
                return
            yield member

    def _next(self) -> TarMember | None:
        """The next member; None at the end mark."""
        first, said = self.position, _Said()
        for _ in range(MAX_CHAIN + 1):
            header = self._header()
            if header is None:
                if self.position != first:
                    raise TarDamage(f"the headers at byte {first} belong to no member")
                if not self._follows():
                    return None
                first = self.position
                continue
            kind = header[156:157]
            if kind == b"L":
                said.long_name = self._extension(header).split(b"\0", 1)[0]
            elif kind == b"K":
                said.long_link = self._extension(header).split(b"\0", 1)[0]
            elif kind in (b"x", b"X"):
                said.pax.update(pax_records(self._extension(header), self.position))
            elif kind == b"g":
                start = self.position - BLOCK
                self._pass_global(header)
                first = self.position if first == start else first
            else:
                return self._member(header, first, said)
        raise TarDamage(f"more than {MAX_CHAIN} headers without a member at byte {first}")

    def _header(self) -> bytes | None:
        """The block at the position, None where it is an end mark; moves on."""
        block = self._read(self.position, BLOCK)
        if len(block) < BLOCK:
            raise TarDamage(f"the tar ends at byte {self.position} without an end mark")
        if block == ZERO:
            return None
        if not checksum_holds(block):
            raise TarDamage(f"damaged header at byte {self.position}")
        self.position += BLOCK
        return block

    def _extension(self, header: bytes) -> bytes:
        """The data of a header that says something of the next member; moves on."""
        start, size = self.position, self._size_in(header)
        if size > MAX_EXTENSION:
            raise TarDamage(f"a header of {size} bytes at byte {start}; at most {MAX_EXTENSION} are read")
        data = self._read(start, size) if size else b""
        if len(data) < size:
            raise TarDamage(f"the tar ends within the header at byte {start}")
        self.position = start + padded(size)
        return data

    def _pass_global(self, header: bytes) -> None:
        """A header for all that follows (git writes one) may comment; one size or name for all is no honest tar."""
        place = self.position
        said = pax_records(self._extension(header), self.position)
        if said:
            names = ", ".join(sorted(decode(key) for key in said))
            raise TarDamage(f"the header at byte {place} states {ascii(names[:80])[1:-1]} of all members")

    def _member(self, header: bytes, first: int, said: _Said) -> TarMember:
        letter, pax = header[156:157], said.pax
        kind = KINDS.get(letter, "special")
        name = pax.get(b"path") or (short_name(header) if said.long_name is None else said.long_name)
        link = b""
        if kind in ("link", "hard link"):
            link = pax.get(b"linkpath") or said.long_link or header[157:257].split(b"\0", 1)[0]
        if max(len(name), len(link)) > MAX_NAME:
            raise TarDamage(f"a name of {max(len(name), len(link))} bytes at byte {first}; at most {MAX_NAME} are read")
        if letter == b"S":
            self._skip_sparse_map(header)
        elif SPARSE in pax:
            kind = "sparse"
        elif letter == b"\0" and name.endswith(b"/"):  # how V7 writes a folder
            kind = "folder"
        size = 0 if letter in WITHOUT_DATA or kind == "folder" else self._size_of(header, pax, first)
        start = self.position
        if start + size > self._size:
            shown = ascii(decode(name)[:80])[1:-1]
            raise TarDamage(f"member {shown} of {size} bytes at byte {first} ends beyond the end of the file")
        self.position = start + padded(size)
        return TarMember(decode(name.rstrip(b"/")), kind, first, start, size, decode(link))

    def _size_of(self, header: bytes, pax: dict[bytes, bytes], first: int) -> int:
        """Bytes of a member's data; a pax header has the last word."""
        stated = pax.get(b"size")
        if stated is None:
            return self._size_in(header)
        if stated.isdigit() and len(stated) <= 20:
            return int(stated)
        raise TarDamage(f"the pax header at byte {first} states no size of 0 or more bytes")

    def _size_in(self, header: bytes) -> int:
        """A header's own size, octal or base 256. Raises TarDamage where it is none, or below zero."""
        text = header[124:136]
        if text[0] == 0o200:
            return int.from_bytes(text[1:], "big")
        digits = text.split(b"\0", 1)[0].strip()
        if OCTAL.fullmatch(digits):
            return int(digits or b"0", 8)
        raise TarDamage(f"the header at byte {self.position - BLOCK} states no size of 0 or more bytes")

    def _skip_sparse_map(self, header: bytes) -> None:
        """Old GNU sparse files have blocks of their map between header and data."""
        more = header[482]
        while more:
            block = self._read(self.position, BLOCK)
            if len(block) < BLOCK:
                raise TarDamage(f"the tar ends within the header at byte {self.position}")
            more = block[504]
            self.position += BLOCK

    def _follows(self) -> bool:
        """Whether another tar follows the end mark and is to be read; moves there. Anything else there is damage."""
        place, stop = self.position, min(self._size, self.position + self._tail)
        while place < stop:
            piece = self._read(place, min(TAIL_PIECE, stop - place))
            if not piece:
                return False
            rest = piece.lstrip(b"\0")
            if not rest:
                place += len(piece)
                continue
            place += len(piece) - len(rest)
            start = place - (place - self.position) % BLOCK  # tars end on whole blocks, also those that begin on none
            if self._read_on and checksum_holds(self._read(start, BLOCK)):
                self.position = start
                return True
            raise TarDamage(f"the tar ends at byte {self.position}, and more follows at byte {place}, unread")
        return False


def walk_file(file: BinaryIO) -> TarWalk:
    """A strict walk over a whole tar on disk."""
    handle = file.fileno()
    return TarWalk(lambda offset, size: os.pread(handle, size, offset), os.fstat(handle).st_size)


def padded(size: int) -> int:
    """Bytes that data of `size` takes in a tar."""
    return -(-size // BLOCK) * BLOCK


def checksum_holds(header: bytes) -> bool:
    """Whether a block is a header with the right checksum, of bytes unsigned as the standard has it or signed."""
    digits = header[148:156].split(b"\0", 1)[0].strip()
    if len(header) != BLOCK or not digits or not OCTAL.fullmatch(digits):
        return False
    difference = sum(header) - sum(header[148:156]) + 8 * ord(" ") - int(digits, 8)
    if difference == 0:
        return True
    large = sum(byte > 127 for byte in header) - sum(byte > 127 for byte in header[148:156])
    return difference == 256 * large


def short_name(header: bytes) -> bytes:
    """The name in the header itself; ustar keeps its first folders apart."""
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


SPARSE = b"GNU.sparse"
USED = frozenset((b"path", b"linkpath", b"size"))


def pax_records(data: bytes, place: int) -> dict[bytes, bytes]:
    """The records "LENGTH KEY=VALUE\\n" of a pax header that say where a member lies; SPARSE for all of that family.

    Raises TarDamage.
    """
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data) and data[start] != 0:
        blank = data.find(b" ", start, start + 20)
        digits = data[start:blank] if blank >= 0 else b""
        end = start + int(digits) if digits.isdigit() else -1
        key, sign, value = data[blank + 1 : max(end - 1, 0)].partition(b"=")
        if blank < 0 or not blank < end <= len(data) or not sign or data[end - 1 : end] != b"\n":
            raise TarDamage(f"damaged pax header before byte {place}")
        if key in USED:
            records[key] = value
        elif key.startswith(SPARSE):
            records[SPARSE] = b""
        start = end
    return records
