"""TFRecord files: framing and checksums, no TensorFlow.

A record is u64-LE length, u32-LE masked CRC-32C of those eight bytes, the payload, u32-LE masked CRC-32C of it.
A wrong payload checksum, or a record too long to be read, costs that record, because the next one's place is known; a
wrong length checksum or an early end costs the rest of the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shards.errors import SourceError
from shards.guard.plain_file import open_plain
from shards.human.crc32c import crc32c

HEADER, FOOTER = 12, 4
MAX_PAYLOAD = 1 << 26
"""Longest payload that is read, 64 MiB; two maps as numbers and a picture have a tenth of that."""
MAX_RECORDS = 1 << 17
"""Most records of a file; RichHF-18k has 15,810 in its largest."""


@dataclass(frozen=True)
class Frame:
    """One record: where it starts in the file, and its payload."""

    offset: int
    payload: bytes


@dataclass(frozen=True)
class Damage:
    """A record that cannot be used; `fatal` if nothing behind it can be found either."""

    offset: int
    detail: str
    fatal: bool


def masked(data: bytes) -> int:
    """The masked CRC-32C as TFRecord stores it: rotated right by 15 bits, plus a constant, modulo 2**32."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_frames(path: Path) -> Iterator[Frame | Damage]:
    """Every record of a file in order; damage is yielded, not raised.

    Raises SourceError if the file is empty, its first bytes are no TFRecord header, it cannot be read, or it holds
    more than MAX_RECORDS.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise SourceError(f"{path} is empty; fetch it again")
            yield from frames_of(file, size, path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error})") from error


def frames_of(file: BinaryIO, size: int, path: Path) -> Iterator[Frame | Damage]:
    """As `read_frames`, from an open file of `size` bytes. Raises SourceError, OSError."""
    offset = number = 0
    while offset < size:
        if number == MAX_RECORDS:
            raise SourceError(f"{path} holds more than {MAX_RECORDS} records; at most those are read, split the file")
        header = file.read(HEADER)
        length, problem = check_header(header, size - offset)
        if problem:
            if offset == 0:
                raise SourceError(f"{path} is no TFRecord file ({problem}; it begins with {header[:8]!r})")
            yield Damage(offset, f"{problem}; {size - offset} bytes from byte {offset} on are lost", True)
            return
        yield frame_of(file, offset, length)
        offset += HEADER + length + FOOTER
        number += 1


def frame_of(file: BinaryIO, offset: int, length: int) -> Frame | Damage:
    """The record at `offset`, whose header was read just now and whose end lies within the file; moves behind it."""
    if length > MAX_PAYLOAD:
        file.seek(length + FOOTER, os.SEEK_CUR)
        return Damage(offset, f"a record of {length} bytes at byte {offset}; at most {MAX_PAYLOAD} are read", False)
    payload, footer = file.read(length), file.read(FOOTER)
    if len(footer) < FOOTER or masked(payload) != struct.unpack("<I", footer)[0]:
        return Damage(offset, f"checksum of the data at byte {offset} is wrong ({length} bytes)", False)
    return Frame(offset, payload)


def check_header(header: bytes, available: int) -> tuple[int, str]:
    """(payload length, what is wrong or ""). `available` counts bytes from the record's start to the file's end."""
    if len(header) < HEADER:
        return 0, f"the file ends inside a record's header ({len(header)} of {HEADER} bytes)"
    length, stored = struct.unpack("<QI", header)
    if masked(header[:8]) != stored:
        return 0, "checksum of the length is wrong"
    if HEADER + length + FOOTER > available:
        return 0, f"the file ends inside a record ({available} of {HEADER + length + FOOTER} bytes)"
    return int(length), ""


def read_payload(path: Path, offset: int) -> bytes:
    """The payload of the record that starts at `offset`, checked again. Raises SourceError if it changed since."""
    try:
        with open_plain(path) as file:
            file.seek(offset)
            size = os.fstat(file.fileno()).st_size
            length, problem = check_header(file.read(HEADER), size - offset)
            found = Damage(offset, problem, True) if problem else frame_of(file, offset, length)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error})") from error
    if isinstance(found, Damage):
        raise SourceError(f"{path} changed while it was read (record at byte {offset}); run the same command again")
    return found.payload
