"""8-bit grey PNGs, as masks are stored, without what Pillow spends on finding out what a file is.

Of a mask of 64 x 64 pixels opening the file takes longer than its pixels. What is not of the one plain form that is
read here is left to Pillow, which also says what is wrong with it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from shards.masks import U8

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = struct.Struct(">IIBBBBB")
"""IHDR: width, height, bits of a value, colour type, compression, filters, interlacing."""
PLAIN = (8, 0, 0, 0, 0)
CHUNK = struct.Struct(">I4s")
END = CHUNK.pack(0, b"IEND") + struct.pack(">I", zlib.crc32(b"IEND"))
MOST_PIXELS = 1 << 20
"""Largest picture that is read here; from there on the pixels take the time."""
MOST_CHUNKS = 64
"""Most pieces that the pixels may be in."""
LEVEL, WINDOW_BITS, MEMORY = 1, 15, 8


def read_grey(data: bytes) -> tuple[int, int, bytes] | None:
    """(width, height, its values row by row, 0..255) of an 8-bit grey PNG of at most MOST_PIXELS.

    None where it has another form or is damaged: every checksum is looked at.
    """
    found = packed_pixels(data)
    if found is None:
        return None
    width, height, packed = found
    pixels = unpacked(width, height, packed)
    return None if pixels is None else (width, height, pixels)


def read_greys(datas: Sequence[bytes]) -> tuple[int, list[int], bytes] | None:
    """(width, heights, values of all row by row with one row of 0 after each) of PNGs as `read_grey` takes them.

    They are decoded as one picture, in a fraction of the time. None where one is of another form or damaged, their
    widths differ, or all have more than MOST_PIXELS together.
    """
    width = 0
    heights: list[int] = []
    rows: list[bytes] = []
    for data in datas:
        found = packed_pixels(data)
        if found is None or (width and found[0] != width):
            return None
        width, height, packed = found
        heights.append(height)
        if (sum(heights) + len(heights)) * width > MOST_PIXELS:
            return None
        inflater = zlib.decompressobj()
        try:
            part = inflater.decompress(packed, height * (1 + width) + 1)
        except zlib.error:
            return None
        if len(part) != height * (1 + width) or not inflater.eof:
            return None
        rows += part, bytes(1 + width)  # filters look at the row before, which for the first of a picture is 0
    if not heights:
        return None
    pixels = unpacked(width, sum(heights) + len(heights), zlib.compress(b"".join(rows), 0))
    return None if pixels is None else (width, heights, pixels)


def unpacked(width: int, height: int, packed: bytes) -> bytes | None:
    """The values of a picture from its packed rows; None where they are damaged."""
    try:
        return Image.frombytes("L", (width, height), packed, "zip", "L", False).tobytes()
    except (ValueError, OSError, SyntaxError):  # pixels that are not there, or are no zlib stream
        return None


def size_in(data: bytes) -> int:
    """Pixels that the head of a PNG speaks of; 0 for anything else."""
    begin = len(SIGNATURE) + CHUNK.size
    if data[:begin] != SIGNATURE + CHUNK.pack(HEAD.size, b"IHDR") or len(data) < begin + HEAD.size:
        return 0
    width, height, *_ = HEAD.unpack_from(data, begin)
    return int(width * height)


def packed_pixels(data: bytes) -> tuple[int, int, bytes] | None:
    """(width, height, packed rows) of a PNG of the form that is read here, whose checksums hold; None for any other."""
    begin = len(SIGNATURE) + CHUNK.size
    end = begin + HEAD.size
    if len(data) < end or data[:begin] != SIGNATURE + CHUNK.pack(HEAD.size, b"IHDR"):
        return None
    width, height, *form = HEAD.unpack_from(data, begin)
    fits = 0 < width * height <= MOST_PIXELS and tuple(form) == PLAIN
    if not fits or not is_sound(data, begin - 4, end):
        return None
    packed = pixel_chunks(data, end + 4)
    return None if packed is None else (width, height, packed)


def pixel_chunks(data: bytes, place: int) -> bytes | None:
    """What the IDAT chunks from `place` to the end hold together; None where other chunks or bytes are there."""
    parts: list[bytes] = []
    while data[place:] != END:
        if len(parts) == MOST_CHUNKS or len(data) < place + CHUNK.size:
            return None
        size, kind = CHUNK.unpack_from(data, place)
        begin = place + CHUNK.size
        place = begin + size + 4
        if kind != b"IDAT" or place > len(data) or not is_sound(data, begin - 4, begin + size):
            return None
        parts.append(data[begin : begin + size])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_sound(data: bytes, begin: int, end: int) -> bool:
    """Whether a chunk, from its name to the end of its data, has the checksum that follows it."""
    return zlib.crc32(data[begin:end]) == int.from_bytes(data[end : end + 4], "big")


def write_grey(pixels: U8) -> bytes:
    """uint8 HW, each side at least 1 -> an 8-bit grey PNG.

    Rows are not filtered and the compression looks for runs alone: of masks that is the smallest and the quickest.
    """
    height, width = pixels.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # the first byte of a row says that it is not filtered
    rows[:, 1:] = pixels
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY, zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    return b"".join((SIGNATURE, chunk(b"IHDR", HEAD.pack(width, height, *PLAIN)), chunk(b"IDAT", packed), END))


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return CHUNK.pack(len(data), kind) + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
