"""How large a picture is, from its first bytes or from the record beside it, without decoding anything."""

from __future__ import annotations

import io
import re
import struct
import warnings
from typing import Any

from PIL import Image

from shards.errors import SchemaError
from shards.guard.json_text import parse_object
from shards.images import MAX_PIXELS
from shards.sources.pictures import FORMATS

LONG_HEAD = 1 << 16
"""Bytes that hold the size of nearly every picture, thumbnails and profiles in its head included."""
DECODING = 16
"""Most bytes a pixel while a picture is decoded, Pillow's own copies included (a WebP's)."""


def decoding_cost(sides: tuple[int, int] | None) -> int:
    """Bytes that decoding a picture takes at most; where its head does not tell (width, height), as for the largest."""
    return DECODING * (MAX_PIXELS if sides is None else min(sides[0] * sides[1], MAX_PIXELS))


def head_sides(head: bytes) -> tuple[int, int] | None:
    """(width, height) from a picture's first kilobytes; None where they do not tell."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return webp_sides(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whether it is too large is for others to say
            with Image.open(io.BytesIO(head), formats=FORMATS) as picture:
                return picture.size
    except Exception:  # Pillow raises a dozen unrelated types on heads
        return None


def webp_sides(head: bytes) -> tuple[int, int] | None:
    """Of the three kinds of WebP header (RFC 9649, sections 2.5 to 2.7): lossy, lossless, extended."""
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack("<I", head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def record_sides(data: bytes) -> tuple[int, int] | None:
    """(width, height) from a JSON record: `width` and `height`, else a `resolution` such as "1024x1024"."""
    try:
        record = parse_object(data, "record")
    except SchemaError:
        return None
    pair: list[Any] = [record.get("width"), record.get("height")]
    if not all(isinstance(side, int) and not isinstance(side, bool) for side in pair):
        pair = [int(side) for side in re.findall(r"\d{1,9}", str(record.get("resolution", "")))]
    if len(pair) != 2 or not all(0 < side < 1 << 31 for side in pair):
        return None
    return pair[0], pair[1]
