"""What decoding takes is told from the head: bytes by hand, and pictures of few bytes that would take minutes."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from shards import images
from shards.errors import SchemaError
from shards.guard import decoding
from shards.guard.decoding import (
    MAX_PIECES,
    MAX_SLOW,
    Counted,
    PictureTooLargeError,
    channels_of_scan,
    decoding_bytes,
    open_picture,
)
from shards.images import decode_image, encode_image
from shards.source import Reject
from shards.sources.pictures import FORMATS, read_picture


def stored(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 32), **options: object) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options", "a_pixel"),
    [
        ("PNG", "L", {}, 1 + 3),
        ("PNG", "RGB", {}, 4 + 3),
        ("PNG", "I;16", {}, 2 + 3),
        ("BMP", "RGB", {}, 4 + 3),
        ("GIF", "P", {}, 1 + 3),
        ("JPEG", "L", {}, 1 + 3),
        ("JPEG", "RGB", {"subsampling": 0}, 4 + 3),
        ("JPEG", "RGB", {"subsampling": 0, "progressive": True}, 4 + 6),
        ("JPEG", "RGB", {"subsampling": 2, "progressive": True}, 4 + 3),
        ("JPEG", "CMYK", {}, 4 + 3),
        ("JPEG", "CMYK", {"progressive": True}, 4 + 8),
        ("TIFF", "RGBA", {}, 4 + 4),
        ("TIFF", "RGB", {"compression": "jpeg"}, 4 + 16),
    ],
)
def test_bytes_by_kind(kind, mode, options, a_pixel):
    data = stored(kind, mode, **options)
    with open_picture(data, FORMATS) as picture:
        assert decoding_bytes(picture, data) == 64 * 32 * a_pixel + len(data)


def test_a_webp_takes_sixteen_bytes_a_pixel_and_its_file_twice(monkeypatch):
    data = stored("WEBP")
    with open_picture(data, FORMATS) as picture:
        assert decoding_bytes(picture, data) == 64 * 32 * 16 + 2 * len(data)
    monkeypatch.setattr(decoding, "MAX_DECODING", 64 * 32 * 16)
    found = read_picture(data, "x")
    assert isinstance(found, Reject)
    assert (found.reason, "at most 32768" in found.detail) == ("too_large", True)
    with pytest.raises(SchemaError, match="64x32 pixels, WEBP RGB"):
        decode_image(data)
    assert not isinstance(read_picture(stored("PNG"), "x"), Reject)


def test_nothing_is_written_that_could_not_be_read(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_DECODING", 64 * 32 * 16)
    monkeypatch.setattr(images, "SURE_PIXELS", 64 * 32 - 1)
    with pytest.raises(SchemaError, match="could not be read again"):
        encode_image(np.zeros((32, 64, 3), np.uint8), "webp")
    assert decode_image(encode_image(np.zeros((32, 64, 3), np.uint8), "png")).shape == (32, 64, 3)


def test_the_scan_of_a_jpeg():
    data = stored("JPEG")
    at = data.index(b"\xff\xda")
    assert data[at + 4] == 3
    assert channels_of_scan(data, at + 2 + 12) == 3
    assert channels_of_scan(data, at + 13) == channels_of_scan(data, 3) == 0


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Little-endian; `data` begins at byte 8. Entries: tag, type (3: 16 bits, 4: 32 bits), count, value or place."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + table + bytes(4)


GREY = ((256, 3, 1, 32), (257, 3, 1, 32), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))


def test_a_tile_larger_than_its_picture():
    tile = zlib.compress(bytes(1 << 20))
    place = ((324, 4, 1, 8), (325, 4, 1, len(tile)))
    small = tiff(*GREY, (259, 3, 1, 8), (322, 4, 1, 1024), (323, 4, 1, 1024), *place, data=tile)
    with open_picture(small, FORMATS) as picture:
        assert decoding_bytes(picture, small) == len(small) + 32 * 32 + 4 * (1 << 20)
    bomb = tiff(*GREY, (259, 3, 1, 8), (322, 4, 1, 1 << 15), (323, 4, 1, 1 << 15), *place, data=tile)
    with pytest.raises(PictureTooLargeError, match="bytes to decode"):
        open_picture(bomb, FORMATS)


@pytest.mark.parametrize(("num_strips", "reason"), [(MAX_PIECES + 1, "too_large"), (4096, "")])
def test_strips_by_the_thousand(num_strips, reason):
    numbers = np.full(num_strips, 8, "<u4").tobytes()
    strips = ((273, 4, num_strips, 8 + 1024), (278, 3, 1, 1), (279, 4, num_strips, 8 + 1024))
    found = read_picture(tiff(*GREY, (259, 3, 1, 1), *strips, data=bytes(1024) + numbers), "x")
    assert (found.reason if isinstance(found, Reject) else "") == reason


def slow_pictures(side: int) -> dict[str, bytes]:
    """Run lengths of one pixel, seven levels, and decimal text."""
    runs = (b"\x01\x05" * side + b"\0\0") * side + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0) + bytes(1024)
    return {
        "BMP": b"BM" + struct.pack("<IHHI", 14 + len(head) + len(runs), 0, 0, 14 + len(head)) + head + runs,
        "levels": b"P6 %d %d 7\n" % (side, side) + b"\x03" * (side * side * 3),
        "text": b"P3 %d %d 255\n" % (side, side) + b"3 " * (side * side * 3),
    }


@pytest.mark.parametrize("kind", ["BMP", "levels", "text"])
def test_what_is_decoded_in_python_is_small(kind):
    assert not isinstance(read_picture(slow_pictures(64)[kind], "x"), Reject)
    side = 2050
    assert side**2 > MAX_SLOW
    found = read_picture(slow_pictures(side)[kind], "x")
    assert isinstance(found, Reject)
    assert (found.reason, "slow to decode" in found.detail) == ("too_large", True)


def segments(data: bytes) -> bytes:
    """A JPEG with half a million markers before its own."""
    return data[:2] + b"\xff\xe5\0\2" * 500_000 + data[2:]


def chunks(data: bytes) -> bytes:
    """A PNG with as many empty chunks behind its head."""
    return data[:33] + struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd")) * 500_000 + data[33:]


@pytest.mark.parametrize(
    "data",
    [segments(stored("JPEG")), chunks(stored("PNG")), b"P6 #" + b"x" * 1_000_000 + b"\n32 32 255\n" + bytes(3072)],
)
def test_a_head_of_too_many_pieces(data):
    began = time.process_time()
    found = read_picture(data, "x")
    assert isinstance(found, Reject)
    assert (found.reason, found.detail) == ("too_large", "it is made of too many pieces")
    assert time.process_time() - began < 3


def test_reads_are_counted():
    file = Counted(b"abc")
    file.left = 2
    assert (file.read(1), file.read()) == (b"a", b"bc")
    with pytest.raises(PictureTooLargeError):
        file.read()


@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_that_of_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 36, 3), np.uint8)).save(data, "PNG", exif=exif)
    with Image.open(data) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    assert np.array_equal(read_picture(data.getvalue(), "x"), expected)
