"""One walk over the headers of a tar, for whoever reads tars here: sizes are bounded before anything is believed.

`tarfile` recurses once for each long-name or pax header in a row, believes sizes below zero and beyond the end of the
file, and takes a damaged header for the end. Formats read: V7, ustar, GNU (long names) and pax. Members are never
unpacked; they are read by position.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Longest long name or pax header, in bytes."""
MAX_NAME = 1 << 14
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
WITHOUT_DATA = frozenset(b"1 2 3 4 5 6".split())
OCTAL = re.compile(rb"[0-7]*")


@dataclass(frozen=True)
class TarMember:
    """One member: data bytes [data_offset, data_offset + size) lie within the file."""

    name: str
    """UTF-8; bytes that are none are kept as surrogates."""
    kind: Kind
    offset: int
    """Of its first header."""
    data_offset: int
    size: int


class TarDamage(ValueError):
    """What is wrong with a tar, and at which byte."""


class TarWalk:
    """Iterates over the members from `position`; then `problem` is "" where the tar ended well, else what is wrong.

    Args:
        read: (offset, size) -> bytes, fewer at the end of the file; asked for at most MAX_EXTENSION + BLOCK at once.
        size: bytes of the file.
        position: where to begin, the offset of a member.
        tail: how many bytes behind the end mark are looked at; there must be nothing but zeros.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, position: int = 0, tail: int = 1 << 62) -> None:
        self._read, self._size, self.position, self._tail = read, size, position, tail
        self._common: dict[str, str] = {}
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
        first, own, long_name = self.position, dict(self._common), None
        for _ in range(MAX_CHAIN + 1):
            header = self._header()
            if header is None:
                if self.position != first:
                    raise TarDamage(f"the headers at byte {first} belong to no member")
                self._check_tail()
                return None
            kind, size = header[156:157], self._number(header[124:136])
            if kind in (b"L", b"K"):
                text = self._extension(size, kind)
                long_name = text if kind == b"L" else long_name
            elif kind in (b"x", b"X", b"g"):
                records = pax_records(self._extension(size, kind), self.position)
                own.update(records)
                if kind == b"g":
                    self._common.update(records)
            else:
                return self._member(header, first, size, own, long_name)
        raise TarDamage(f"more than {MAX_CHAIN} headers without a member at byte {first}")

    def _header(self) -> bytes | None:
        """The block at the position, None where it is an end mark; moves on."""
        block = self._read(self.position, BLOCK)
        if len(block) < BLOCK:
            raise TarDamage(f"the tar ends at byte {self.position} without an end mark")
        if not block.strip(b"\0"):
            return None
        if not checksum_holds(block):
            raise TarDamage(f"damaged header at byte {self.position}")
        self.position += BLOCK
        return block

    def _extension(self, size: int, kind: bytes) -> bytes:
        """The data of a header that says something of the next member; moves on."""
        start = self.position
        if size > MAX_EXTENSION:
            raise TarDamage(f"a header of {size} bytes at byte {start}; at most {MAX_EXTENSION} are read")
        data = self._read(start, size)
        if len(data) < size:
            raise TarDamage(f"the tar ends within the header at byte {start}")
        self.position = start + padded(size)
        return data.split(b"\0", 1)[0] if kind in (b"L", b"K") else data

    def _member(self, header: bytes, first: int, size: int, pax: dict[str, str], long_name: bytes | None) -> TarMember:
        letter = header[156:157]
        kind = KINDS.get(letter, "special")
        name = pax.get("path") or decode(long_name if long_name is not None else short_name(header))
        if len(name) > MAX_NAME:
            raise TarDamage(f"a name of {len(name)} characters at byte {first}; at most {MAX_NAME} are read")
        if "size" in pax:
            size = self._number(pax["size"].encode("utf-8", "replace"), decimal=True)
        if letter == b"S":
            self._skip_sparse_map(header)
        elif any(key.startswith("GNU.sparse") for key in pax):
            kind = "sparse"
        elif letter == b"\0" and name.endswith("/"):  # how V7 writes a folder
            kind = "folder"
        start = self.position
        if letter in WITHOUT_DATA:
            size = 0
        if start + size > self._size:
            shown = ascii(name[:80])[1:-1]
            raise TarDamage(f"member {shown} of {size} bytes at byte {first} ends beyond the end of the file")
        self.position = start + padded(size)
        return TarMember(name.rstrip("/") if kind == "folder" else name, kind, first, start, size)

    def _skip_sparse_map(self, header: bytes) -> None:
        """Old GNU sparse files have blocks of their map between header and data."""
        more = header[482]
        while more:
            block = self._read(self.position, BLOCK)
            if len(block) < BLOCK:
                raise TarDamage(f"the tar ends within the header at byte {self.position}")
            more = block[504]
            self.position += BLOCK

    def _number(self, text: bytes, decimal: bool = False) -> int:
        """A size: octal, base 256, or a pax decimal. Raises TarDamage where it is none, or below zero."""
        if decimal:
            if text.isdigit() and len(text) <= 20:
                return int(text)
        elif text[0] == 0o200:
            return int.from_bytes(text[1:], "big")
        else:
            digits = text.split(b"\0", 1)[0].strip()
            if OCTAL.fullmatch(digits):
                return int(digits or b"0", 8)
        raise TarDamage(f"the header before byte {self.position} states no size of 0 or more bytes")

    def _check_tail(self) -> None:
        """Nothing but zeros may follow the end mark: a tar written behind another would be lost."""
        place, stop = self.position, min(self._size, self.position + self._tail)
        while place < stop:
            piece = self._read(place, min(TAIL_PIECE, stop - place))
            if not piece:
                return
            rest = piece.lstrip(b"\0")
            if rest:
                place += len(piece) - len(rest)
                raise TarDamage(f"the tar ends at byte {self.position}, and more follows at byte {place}, unread")
            place += len(piece)


def padded(size: int) -> int:
    """Bytes that data of `size` takes in a tar."""
    return -(-size // BLOCK) * BLOCK


def checksum_holds(header: bytes) -> bool:
    """Whether a header's checksum is right, with bytes unsigned as the standard has it or signed as some wrote it."""
    digits = header[148:156].split(b"\0", 1)[0].strip()
    if not digits or not OCTAL.fullmatch(digits):
        return False
    stated, counted = int(digits, 8), header[:148] + b" " * 8 + header[156:]
    unsigned = sum(counted)
    return stated in (unsigned, unsigned - 256 * sum(byte > 127 for byte in counted))


def short_name(header: bytes) -> bytes:
    """The name in the header itself; ustar keeps its first folders apart."""
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def pax_records(data: bytes, place: int) -> dict[str, str]:
    """Records "LENGTH KEY=VALUE\\n" of a pax header. Raises TarDamage."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data) and data[start] != 0:
        blank = data.find(b" ", start, start + 20)
        digits = data[start:blank] if blank >= 0 else b""
        end = start + int(digits) if digits.isdigit() else -1
        key, sign, value = data[blank + 1 : max(end - 1, 0)].partition(b"=")
        if blank < 0 or not blank < end <= len(data) or not sign or data[end - 1 : end] != b"\n":
            raise TarDamage(f"damaged pax header before byte {place}")
        records[decode(key)] = decode(value)
        start = end
    return records
