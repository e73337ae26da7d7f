"""TFRecord files: framing and checksums, no TensorFlow.

A record is u64-LE length, u32-LE masked CRC-32C of those eight bytes, the payload, u32-LE masked CRC-32C of it.
A wrong payload checksum costs one record, because the next one's place is known; a wrong length checksum or an early
end costs the rest of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import SourceError
from shards.human.crc32c import crc32c

HEADER, FOOTER = 12, 4
MAX_PAYLOAD = 1 << 28
"""Longest payload that is read, 256 MiB."""


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

    Raises SourceError if the file is empty or its first bytes are no TFRecord header.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while offset < size:
            header = file.read(HEADER)
            length, problem = check_header(header, size - offset)
            if problem:
                if offset == 0:
                    raise SourceError(f"{path} is no TFRecord file ({problem}; it begins with {header[:8]!r})")
                yield Damage(offset, f"{problem}; {size - offset} bytes from byte {offset} on are lost", True)
                return
            payload = file.read(length)
            (stored,) = struct.unpack("<I", file.read(FOOTER))
            if masked(payload) != stored:
                yield Damage(offset, f"checksum of the data at byte {offset} is wrong ({length} bytes)", False)
            else:
                yield Frame(offset, payload)
            offset += HEADER + length + FOOTER
    if size == 0:
        raise SourceError(f"{path} is empty; fetch it again")


def check_header(header: bytes, available: int) -> tuple[int, str]:
    """(payload length, what is wrong or ""). `available` counts bytes from the record's start to the file's end."""
    if len(header) < HEADER:
        return 0, f"the file ends inside a record's header ({len(header)} of {HEADER} bytes)"
    length, stored = struct.unpack("<QI", header)
    if masked(header[:8]) != stored:
        return 0, "checksum of the length is wrong"
    if length > MAX_PAYLOAD:
        return 0, f"a record of {length} bytes; at most {MAX_PAYLOAD} are read"
    if HEADER + length + FOOTER > available:
        return 0, f"the file ends inside a record ({available} of {HEADER + length + FOOTER} bytes)"
    return int(length), ""


def read_payload(path: Path, offset: int) -> bytes:
    """The payload of the record that starts at `offset`, checked again. Raises SourceError if it changed since."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(offset)
        length, problem = check_header(file.read(HEADER), size - offset)
        payload = b"" if problem else file.read(length)
        stored = b"" if problem else file.read(FOOTER)
    if problem or struct.unpack("<I", stored)[0] != masked(payload):
        raise SourceError(f"{path} changed while it was read (record at byte {offset}); run the same command again")
    return payload
