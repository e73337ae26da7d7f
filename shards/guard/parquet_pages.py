"""Page headers of a Parquet column, read before pyarrow unpacks the pages: it believes whatever size they state.

A header is a struct of Thrift's compact protocol (parquet.thrift, `PageHeader`); a few bytes may state 2 GiB, and a few
more may hold the run of zeros that unpacks to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MAX_HEADER = 1 << 20
"""Longest page header, in bytes; it may hold the smallest and the largest value of the page."""
FIRST_READ = 1 << 10
MAX_DEPTH = 8
STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
TYPE, UNPACKED, PACKED, DATA, DICTIONARY, DATA_V2 = 1, 2, 3, 5, 7, 8
"""Fields of PageHeader."""
DICTIONARY_PAGE = 2
DELTA_BYTE_ARRAY = 7
"""The encoding in which a value may repeat the beginning of the one before."""
MAX_PAGE = 3 << 27
"""Most bytes of a page after decompression, 384 MiB; pyarrow writes a thousand pictures into one."""
MAX_REPEATS = 1 << 25
"""The same for pages whose bytes may stand for many values, which a batch of rows may hold in full."""
MAX_PAGES = 1 << 17
"""Most pages of a column in one row group."""
MAX_NESTED = 1 << 26
"""Most numbers in a nested column of a row group: they may all belong to one row."""


class PageDamage(ValueError):
    """What is wrong with a page header."""


class EarlyEnd(PageDamage):
    """The bytes end inside a header."""


@dataclass(frozen=True)
class Page:
    """What a page header states."""

    packed: int
    """Bytes in the file."""
    unpacked: int
    """Bytes after decompression."""
    num_values: int
    repeats: bool
    """Whether few bytes of the page may stand for many of its values: a dictionary, or prefixes kept apart."""


def check_column(column: Any, read: Callable[[int, int], bytes], nested: bool) -> None:
    """Raises PageDamage where the pages of a column chunk are damaged, or larger than is read."""
    dictionary = column.dictionary_page_offset if column.has_dictionary_page else None
    # As pyarrow does: a dictionary comes first, and 0 says that there is none.
    start = min(dictionary, column.data_page_offset) if dictionary else column.data_page_offset
    values = 0
    for page in pages(read, start, column.total_compressed_size):
        most = MAX_REPEATS if page.repeats else MAX_PAGE
        if page.unpacked > most:
            raise PageDamage(f"a page of {column.path_in_schema} unpacks to {page.unpacked} bytes; at most {most}")
        values += page.num_values
        if nested and values > MAX_NESTED:
            raise PageDamage(f"{column.path_in_schema} holds more than {MAX_NESTED} numbers; write fewer rows a group")


def pages(read: Callable[[int, int], bytes], start: int, size: int) -> Iterator[Page]:
    """The pages of the column chunk at bytes [start, start + size). Raises PageDamage.

    Args:
        read: (offset, size) -> bytes, fewer at the end of the file.
    """
    place, end = start, start + size
    for _ in range(MAX_PAGES):
        if place >= end:
            return
        found, length = header_at(read, place, end)
        page = page_of(found)
        if place + length + page.packed > end:
            raise PageDamage(f"the page at byte {place} ends beyond its column")
        yield page
        place += length + page.packed
    raise PageDamage(f"a column of more than {MAX_PAGES} pages")


def header_at(read: Callable[[int, int], bytes], place: int, end: int) -> tuple[dict[int, Any], int]:
    """(fields of the header at `place`, its length)."""
    for size in (FIRST_READ, MAX_HEADER):
        reader = Compact(read(place, min(size, end - place)))
        try:
            return reader.struct(), reader.at
        except EarlyEnd:
            continue
    raise PageDamage(f"the page header at byte {place} has no end within {min(MAX_HEADER, end - place)} bytes")


def page_of(found: dict[int, Any]) -> Page:
    """The header's fields, checked for type and sign. Raises PageDamage."""
    inner: dict[int, Any] = next(
        (found[field] for field in (DATA, DATA_V2, DICTIONARY) if isinstance(found.get(field), dict)), {}
    )
    numbers = [found.get(PACKED), found.get(UNPACKED), inner.get(1, 0)]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise PageDamage(f"a page header states the sizes {numbers[:2]} and {numbers[2]} values")
    encoding = inner.get(4) if DATA_V2 in found else inner.get(2)
    repeats = found.get(TYPE) == DICTIONARY_PAGE or encoding == DELTA_BYTE_ARRAY
    return Page(numbers[0], numbers[1], numbers[2], repeats)


class Compact:
    """Reads Thrift's compact protocol: a struct becomes {field: value}; texts and containers are passed over."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Raises PageDamage, EarlyEnd."""
        if depth > MAX_DEPTH:
            raise PageDamage(f"a page header is nested deeper than {MAX_DEPTH} levels")
        found: dict[int, Any] = {}
        field = 0
        while head := self.byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self.signed()
            found[field] = kind == TRUE if kind in (TRUE, FALSE) else self.value(kind, depth)
        return found

    def value(self, kind: int, depth: int) -> Any:
        if kind == BYTE:
            return self.byte()
        if kind in (I16, I32, I64):
            return self.signed()
        if kind == DOUBLE:
            return self.skip(8)
        if kind == BINARY:
            return self.skip(self.varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        # Page headers have no lists, sets or maps.
        raise PageDamage(f"a page header holds a value of kind {kind}")

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise EarlyEnd("the page header ends early")
        self.at += 1
        return self.data[self.at - 1]

    def skip(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise EarlyEnd("the page header ends early")
        self.at += size

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise PageDamage("a page header holds a number of more than ten bytes")

    def signed(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)
