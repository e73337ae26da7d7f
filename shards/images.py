"""Pictures and masks of samples, to file bytes and back; their size is bounded before anything is decoded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image

from shards.errors import SchemaError
from shards.grey_png import read_grey, read_greys, size_in
from shards.guard.decoding import PictureTooLargeError, open_picture
from shards.masks import U8, mask_from_bytes, mask_from_file

Codec = Literal["webp", "png", "jpg"]
CODECS: tuple[Codec, ...] = ("webp", "png", "jpg")
MAX_PIXELS = 1 << 26
"""Largest picture read from a shard, 8192 x 8192; a WebP may have less (shards/guard/decoding.py)."""
STRIP_PIXELS = 1 << 20
"""Pixels that are converted at once."""
SURE_PIXELS = 1 << 24
"""A picture of no more can be read again, whatever its codec makes of it."""
SMALL_PIXELS = 1 << 13
"""Masks of no more are decoded many at a time; larger ones alone take less."""
MAX_MEMBER = 1 << 28
"""Largest file of a sample, in bytes: a picture of MAX_PIXELS that does not compress."""


def encode_image(array: U8, codec: Codec) -> bytes:
    """uint8 HWC RGB or HW -> file bytes. WebP (here its fastest setting, not its worst) and PNG are lossless."""
    options: dict[str, dict[str, Any]] = {
        "webp": {"format": "WEBP", "lossless": True, "method": 0, "quality": 0},
        "png": {"format": "PNG", "compress_level": 1},
        "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    }
    if codec not in options:
        raise SchemaError(f"image codec {codec!r}; allowed are {', '.join(CODECS)}")
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, **options[codec])
    data = buffer.getvalue()
    if array.shape[0] * array.shape[1] > SURE_PIXELS:
        try:
            _open(data).close()
        except PictureTooLargeError as error:
            raise SchemaError(f"the image could not be read again: {error}; use smaller pictures") from error
    return data


def _open(data: bytes, formats: tuple[str, ...] = ("WEBP", "PNG", "JPEG")) -> Image.Image:
    picture = open_picture(data, formats)
    if picture.width * picture.height > MAX_PIXELS:
        raise SchemaError(f"image of {picture.width}x{picture.height} pixels; at most {MAX_PIXELS} are read")
    return picture


def _pixels(picture: Image.Image) -> U8:
    """uint8 HWC RGB; of a large picture in strips, so that it is in memory twice and not four times."""
    width, height = picture.size
    if width * height <= STRIP_PIXELS:
        return np.asarray(picture.convert("RGB"))
    picture.load()
    image = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        image[top : top + rows] = np.asarray(strip.convert("RGB"))
    return image


def decode_image(data: bytes) -> U8:
    """File bytes -> uint8 HWC RGB. Raises SchemaError on damaged or oversized pictures."""
    try:
        with _open(data) as picture:
            return _pixels(picture)
    except SchemaError:
        raise
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        raise SchemaError(f"image cannot be decoded ({error})") from error


def decode_mask(data: bytes) -> U8:
    """PNG bytes with 0/255/128 -> uint8 HW with 0/1/255. Raises SchemaError."""
    plain = read_grey(data)
    if plain is None:
        return mask_from_file(decode_grey(data))
    width, height, stored = plain
    return mask_from_bytes(stored, (height, width))


def decode_masks(datas: Sequence[bytes]) -> list[U8]:
    """`decode_mask` of each; small masks of one width in a fraction of the time. Raises SchemaError."""
    plain = read_greys(datas) if datas and size_in(datas[0]) <= SMALL_PIXELS else None
    if plain is None:
        return [decode_mask(data) for data in datas]
    width, heights, stored = plain
    rows = mask_from_bytes(stored, (len(stored) // width, width))
    ends = np.cumsum([height + 1 for height in heights]).tolist()
    return [rows[end - 1 - height : end - 1] for height, end in zip(heights, ends, strict=True)]


def decode_grey(data: bytes) -> U8:
    """An 8-bit grey PNG -> uint8 HW as it is stored. Raises SchemaError."""
    try:
        with _open(data, ("PNG",)) as picture:
            if picture.mode != "L":
                raise SchemaError(f"mask must be an 8-bit grey PNG, got mode {picture.mode}")
            return np.asarray(picture)
    except SchemaError:
        raise
    except Exception as error:
        raise SchemaError(f"mask cannot be decoded ({error})") from error
