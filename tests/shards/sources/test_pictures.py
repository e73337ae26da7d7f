"""Odd pictures, several built byte by byte, and what becomes of each."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from shards.source import Reject
from shards.sources.pictures import Limits, read_mask, read_picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def reason(data: bytes, limits: Limits | None = None) -> str:
    result = read_picture(data, "x", limits or Limits())
    assert isinstance(result, Reject)
    return result.reason


def pixels(data: bytes) -> np.ndarray:
    result = read_picture(data, "x")
    assert not isinstance(result, Reject), result
    assert result.dtype == np.uint8
    assert result.ndim == 3
    return result


def test_nothing_and_no_picture():
    assert reason(b"") == "empty"
    assert reason(b"hello, this is a text") == "not_image"
    assert reason(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "not_image"
    assert reason(b"\0" * 4096) == "not_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated_anywhere(kind, share):
    whole = saved(noise(), kind)
    assert reason(whole[: max(9, int(len(whole) * share))]) == "truncated"


def test_damaged_checksum_in_the_pixels():
    data = bytearray(saved(noise(), "PNG"))
    data[data.index(b"IDAT") + 40] ^= 255
    assert reason(bytes(data)) == "truncated"


def test_sixteen_bit_grey_keeps_the_high_byte():
    rows = b"".join(b"\0" + struct.pack(">16H", *range(0, 65536, 4096)) for _ in range(16))
    seen = pixels(png(16, 16, 16, 0, rows))
    assert seen[0, :, 0].tolist() == [value >> 8 for value in range(0, 65536, 4096)]
    assert np.array_equal(seen[..., 0], seen[..., 2])


def test_sixteen_bit_rgb_keeps_the_high_byte():
    rows = b"".join(b"\0" + struct.pack(">3H", 0x1234, 0xABCD, 0xFF00) * 16 for _ in range(16))
    assert pixels(png(16, 16, 16, 2, rows))[3, 3].tolist() == [0x12, 0xAB, 0xFF]


def test_palette_and_one_bit():
    palette = chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    seen = pixels(png(16, 16, 1, 3, b"\0\x0f\xf0" * 16, palette))
    assert seen[0, 0].tolist() == [10, 20, 30]
    assert seen[0, 4].tolist() == [200, 100, 50]
    assert pixels(png(16, 16, 1, 0, b"\0\x0f\xf0" * 16))[0, 4].tolist() == [255, 255, 255]


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    clear.putpixel((3, 2), (255, 0, 0, 255))
    seen = pixels(saved(clear, "PNG"))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[2, 3].tolist() == [255, 0, 0]


def test_cmyk_jpeg_and_grey_jpeg_become_rgb():
    assert pixels(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))[8, 8, 0] > 200
    assert pixels(saved(Image.new("L", (16, 16), 77), "JPEG")).shape == (16, 16, 3)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pixels(saved(Image.new("RGB", (32, 16)), "JPEG", exif=exif)).shape == (32, 16, 3)


def test_animated_and_still_gif():
    frames = [Image.new("L", (16, 16), value) for value in (0, 128)]
    assert reason(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == "animated"
    assert pixels(saved(frames[1], "GIF"))[0, 0, 0] == 128


def test_sizes_are_judged_by_the_header_alone():
    assert reason(saved(Image.new("RGB", (1, 1)), "PNG")) == "too_small"
    assert reason(png(20000, 20, 8, 2, b"")) == "too_large"
    assert reason(png(60000, 60000, 8, 2, b"")) == "too_large"
    assert reason(png(12000, 12000, 8, 2, b"")) == "too_large"


def test_floating_point_is_refused():
    assert reason(saved(Image.new("F", (16, 16), 0.5), "TIFF")) == "unsupported_depth"


def test_masks():
    mask = Image.fromarray(np.array([[0, 128], [255, 0]], np.uint8))
    assert read_mask(saved(mask, "PNG"), "m", (2, 2)).tolist() == [[0, 255], [1, 0]]
    assert read_mask(saved(mask, "PNG"), "m", (2, 3)).reason == "mask_size"
    assert read_mask(saved(Image.new("L", (2, 2), 7), "PNG"), "m", (2, 2)).reason == "mask_values"
    assert read_mask(b"junk", "m", (2, 2)).reason == "mask_values"
    one_bit = Image.fromarray(np.array([[False, True], [True, False]]))
    assert one_bit.mode == "1"
    assert read_mask(saved(one_bit, "PNG"), "m", (2, 2)).tolist() == [[0, 1], [1, 0]]


def test_limits_are_checked():
    with pytest.raises(ValueError, match="min_side <= max_side"):
        Limits(min_side=9, max_side=8)


@pytest.mark.parametrize(
    ("values", "threshold", "mask"),
    [
        ([0, 1, 1, 0], 1, [0, 1, 1, 0]),
        ([0, 127, 128, 255], 128, [0, 0, 1, 1]),
        ([0, 128, 255, 0], 0, [0, 255, 1, 0]),
    ],
)
def test_a_threshold_says_what_grey_means(values: list[int], threshold: int, mask: list[int]):
    picture = Image.fromarray(np.array(values, np.uint8).reshape(2, 2))
    assert read_mask(saved(picture, "PNG"), "m", (2, 2), threshold).ravel().tolist() == mask


@pytest.mark.parametrize("values", [[0, 1, 1, 0], [0, 127, 128, 255]])
def test_without_a_threshold_the_reject_names_it(values: list[int]):
    picture = Image.fromarray(np.array(values, np.uint8).reshape(2, 2))
    refused = read_mask(saved(picture, "PNG"), "m", (2, 2))
    assert (refused.reason, "source.options.mask_threshold (1 for masks of 0 and 1)" in refused.detail) == (
        "mask_values",
        True,
    )


def test_masks_of_16_bits_are_refused():
    picture = Image.fromarray(np.full((2, 2), 300, np.uint16))
    assert "16 bits" in read_mask(saved(picture, "PNG"), "m", (2, 2), 1).detail
