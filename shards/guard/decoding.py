"""Pictures from outside, opened so that what decoding takes is known before it begins: memory from the head, time by
counting reads.

Pillow walks through a picture's head, and through the pixels of some formats, in Python, a read a step: so many chunks,
markers, comments and runs as a file may hold take minutes. Legitimate files read more at once.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image

MAX_DECODING = 576 << 20
"""Most bytes that a picture may take while it is decoded to RGB, its file included."""
MAX_SLOW = 1 << 22
"""Most values of a picture whose format Pillow decodes in Python: run lengths of BMP, text or rare depths of PPM."""
SLOW = ("bmp_rle", "ppm", "ppm_plain")
"""Pillow's names of those decoders."""
READS, BYTES_A_READ, READS_A_VALUE = 1 << 16, 512, 3
"""A file may be read in so many pieces, and one more for so many bytes; a slow decoder takes three for a value."""
MAX_PIECES = 1 << 15
"""Most strips or tiles of a TIFF."""
PILLOW_BLOCK = 1 << 26
"""Bytes of Pillow's pieces of a picture: as large as this, glibc gives each back to the system when it is freed."""
RGB = 3
WEBP = 16
"""Bytes a pixel of a WebP: libwebp keeps two canvases, Pillow copies one twice."""
WIDTHS = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes a pixel in Pillow's memory, by mode; 4 for all others."""
OFFSETS, TILE_SIDES = (273, 324), (322, 323)
"""TIFF tags: places of strips and tiles; width and height of a tile."""
WRAPPED = (6, 7, 34887, 34933, 50001, 50002)
"""Kinds of compression in a TIFF whose decoders hold a tile again, and more: JPEG, LERC, PNG, WebP, JPEG XL."""
INNER = 4
"""How often they hold it at most."""


class PictureTooLargeError(Exception):
    """A picture that is not decoded; says why. No ValueError: Pillow takes those for damage and goes on."""


class Counted(io.BytesIO):
    """A file that may be read in so many pieces, no more. Raises PictureTooLargeError."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.left = READS + len(data) // BYTES_A_READ

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise PictureTooLargeError("it is made of too many pieces")
        return super().read(size)


def open_picture(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """A picture whose pixels may be asked for. Raises PictureTooLargeError, and what Pillow raises."""
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        check_tiff(data)
    Image.core.set_block_size(PILLOW_BLOCK)  # type: ignore[attr-defined]
    file = Counted(data)
    picture = Image.open(file, formats=formats)
    try:
        pixels = picture.width * picture.height
        if is_slow(picture):
            values = pixels * len(picture.getbands())
            if values > MAX_SLOW:
                raise PictureTooLargeError(f"{values} values in a form that is slow to decode; at most {MAX_SLOW}")
            file.left += READS_A_VALUE * values
        needed = decoding_bytes(picture, data)
        if needed > MAX_DECODING:
            size = f"{picture.width}x{picture.height} pixels, {picture.format} {picture.mode}, of {len(data)} bytes"
            raise PictureTooLargeError(f"{size} take {needed} bytes to decode; at most {MAX_DECODING}")
    except BaseException:
        picture.close()
        raise
    return picture


def is_slow(picture: Image.Image) -> bool:
    """Whether Pillow decodes it in Python."""
    return any(tile[0] in SLOW for tile in getattr(picture, "tile", ()))


def decoding_bytes(picture: Image.Image, data: bytes) -> int:
    """Most memory while a picture becomes RGB: its file, Pillow's picture, and what the decoder or RGB takes."""
    pixels = picture.width * picture.height
    if picture.format == "WEBP":
        return pixels * WEBP + 2 * len(data)
    decoder = 0
    if picture.format in ("JPEG", "MPO"):
        decoder = coefficients(picture, data)
    elif picture.format == "TIFF":
        decoder = tiff_piece(picture)
    elif is_slow(picture):
        decoder = 2 * pixels * len(picture.getbands())
    return len(data) + pixels * WIDTHS.get(picture.mode, 4) + max(decoder, RGB * pixels)


def coefficients(picture: Any, data: bytes) -> int:
    """Bytes of a JPEG's coefficients, two for each, where all are kept at once: where there are several scans."""
    parts = [(across, down) for _, across, down, _ in picture.layer]
    if "progressive" not in picture.info and channels_of_scan(data, picture.fp.tell()) == len(parts):
        return 0
    most = max(across for across, _ in parts) * max(down for _, down in parts)
    return int(2 * picture.width * picture.height * sum(across * down for across, down in parts) // max(most, 1))


def channels_of_scan(data: bytes, end: int) -> int:
    """Channels in the scan whose header (marker, length, number, two bytes each, three more) ends at `end`, or 0."""
    for number in range(1, 5):
        length = 6 + 2 * number
        if data[max(end - length - 2, 0) : end][:5] == b"\xff\xda" + struct.pack(">HB", length, number):
            return number
    return 0


def tiff_piece(picture: Any) -> int:
    """Bytes of a TIFF's largest strip or tile, as its decoder holds it; a tile may be larger than the picture."""
    tags = picture.tag_v2
    bits = tags.get(258, (1,))
    a_pixel = max(4, sum(bits if isinstance(bits, tuple) else (bits,)) // 8, tags.get(277, 1))
    tile = tags.get(TILE_SIDES[0], 0) * tags.get(TILE_SIDES[1], 0)
    rows = min(tags.get(278, picture.height), picture.height)
    held = INNER if tags.get(259, 1) in WRAPPED else 1
    return int(held * a_pixel * max(tile, rows * picture.width))


def check_tiff(data: bytes) -> None:
    """Refuse a TIFF of more strips or tiles than MAX_PIECES: Pillow makes a list of them when it opens the file."""
    order = "<" if data[:1] == b"I" else ">"
    big = 43 in data[2:4]
    start, number, entry = (8, "Q", "HHQ8s") if big else (4, "H", "HHI4s")
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), data, start)
        (tags,) = struct.unpack_from(order + number, data, first)
        first += struct.calcsize(order + number)
        size = struct.calcsize(order + entry)
        for at in range(first, min(first + size * min(tags, READS), len(data) - size + 1), size):
            tag, _, count, _ = struct.unpack_from(order + entry, data, at)
            if tag in OFFSETS and count > MAX_PIECES:
                raise PictureTooLargeError(f"{count} strips or tiles; at most {MAX_PIECES} are read")
    except (struct.error, OverflowError):
        return  # damaged: Pillow says so
