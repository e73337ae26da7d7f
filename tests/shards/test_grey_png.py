"""8-bit grey PNGs read and written without Pillow's file handling, against Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shards.errors import SchemaError
from shards.grey_png import CHUNK, END, HEAD, SIGNATURE, chunk, read_grey, read_greys, size_in, write_grey
from shards.images import decode_grey, decode_mask, decode_masks
from shards.masks import mask_from_file, mask_to_file


def pillow(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    """A PNG with the filters that Pillow chooses for each row."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", **options)
    return data.getvalue()


def random_masks(seed: int, width: int, count: int) -> list[np.ndarray[Any, Any]]:
    """Masks in memory of different heights, some smooth, so that all filters are used."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        height = int(rng.integers(1, 40))
        smooth = np.cumsum(rng.integers(-1, 2, (height, width)), axis=int(rng.integers(2)))
        masks.append(np.array([0, 1, 255], np.uint8)[smooth % 3])
    return masks


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_one_and_many_are_read_as_pillow_reads_them(seed: int, width: int):
    masks = random_masks(seed, width, 5)
    datas = [pillow(mask_to_file(mask)) for mask in masks[:3]] + [write_grey(mask_to_file(mask)) for mask in masks[3:]]
    assert read_greys(datas) is not None
    for data, mask, found in zip(datas, masks, decode_masks(datas), strict=True):
        single = read_grey(data)
        assert single is not None
        assert single[:2] == mask.shape[::-1]
        assert single[2] == decode_grey(data).tobytes() == mask_to_file(mask).tobytes()
        assert size_in(data) == mask.size
        np.testing.assert_array_equal(found, mask)
        np.testing.assert_array_equal(decode_mask(data), mask)
        np.testing.assert_array_equal(mask_from_file(decode_grey(data)), mask)


def test_masks_can_be_written_to():
    data = write_grey(np.zeros((3, 4), np.uint8))
    for mask in (decode_mask(data), *decode_masks([data, data])):
        mask[1, 1] = 1
        assert mask.sum() == 1


def forms() -> dict[str, bytes]:
    grey = np.zeros((5, 6), np.uint8)
    grey[2, 3] = 255
    note = PngInfo()
    note.add_text("a", "b")
    return {
        "note": pillow(grey, pnginfo=note),
        "bits": pillow(grey > 0),
        "palette": pillow(grey, bits=8) + b"more",
        "rgb": pillow(np.stack([grey] * 3, axis=-1)),
        "deep": pillow(grey.astype(np.uint16)),
        "large": pillow(np.zeros((1025, 1024), np.uint8)),
        "jpeg": b"\xff\xd8\xff\xe0" + bytes(40),
        "empty": b"",
        "head": pillow(grey)[:20],
    }


@pytest.mark.parametrize("name", forms())
def test_other_forms_are_left_to_pillow(name: str):
    data = forms()[name]
    assert read_grey(data) is None
    plain = write_grey(np.zeros((5, 6), np.uint8))
    assert read_greys([plain, data]) is None
    if name in ("note", "palette", "large"):
        np.testing.assert_array_equal(decode_masks([plain, data])[1], mask_from_file(decode_grey(data)))
    else:
        with pytest.raises(SchemaError):
            decode_masks([plain, data])


@pytest.mark.parametrize("cut", [False, True])
def test_damage_is_never_read(cut: bool):
    """A byte changed or the end cut off: what is read is what Pillow reads, or an error."""
    data = pillow(mask_to_file(random_masks(1, 9, 1)[0]))
    right = decode_grey(data)
    for place in range(len(data)):
        damaged = data[:place] if cut else data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        assert read_grey(damaged) is None, place
        assert read_greys([data, damaged]) is None, place
        try:
            found = decode_mask(damaged)
        except SchemaError:
            continue
        np.testing.assert_array_equal(found, mask_from_file(right))


def made(width: int, height: int, rows: bytes) -> bytes:
    """A PNG whose checksums hold."""
    head = chunk(b"IHDR", HEAD.pack(width, height, 8, 0, 0, 0, 0))
    return b"".join((SIGNATURE, head, chunk(b"IDAT", zlib.compress(rows)), END))


@pytest.mark.parametrize(
    "data",
    [
        made(4, 2, bytes(9)),  # a value is missing
        made(4, 2, bytes(1 << 24)),  # far more than the head says
        made(4, 2, b"\5" + bytes(9)),  # no such filter
        made(1 << 31, 1 << 31, bytes(10)),
        made(0, 4, bytes(4)),
        SIGNATURE + chunk(b"IHDR", HEAD.pack(4, 2, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"not zlib") + END,
        SIGNATURE + chunk(b"IHDR", HEAD.pack(4, 2, 8, 0, 0, 0, 0)) + END,
        SIGNATURE + chunk(b"IHDR", HEAD.pack(4, 2, 8, 0, 0, 0, 0)) + CHUNK.pack(1 << 31, b"IDAT") + END,
    ],
)
def test_what_does_not_fit_its_head_does_not_pass_among_others(data: bytes):
    plain = made(4, 2, bytes(10))
    assert read_greys([plain, plain]) is not None
    assert read_greys([plain, data]) is None


def test_values_that_no_mask_has_are_named():
    data = write_grey(np.array([[0, 7]], np.uint8))
    for read in (lambda: decode_mask(data), lambda: decode_masks([data, data])):
        with pytest.raises(SchemaError, match=r"holds the values \[7\]; allowed are \[0, 128, 255\]"):
            read()


def test_pixels_in_several_pieces():
    data = write_grey(np.full((3, 4), 255, np.uint8))
    begin = data.index(b"IDAT") - 4
    size = struct.unpack_from(">I", data, begin)[0]
    packed = data[begin + 8 : begin + 8 + size]
    split = data[:begin] + chunk(b"IDAT", packed[:5]) + chunk(b"IDAT", packed[5:]) + END
    assert read_grey(split) == (4, 3, b"\xff" * 12)
    assert decode_mask(split).tolist() == [[1] * 4] * 3
