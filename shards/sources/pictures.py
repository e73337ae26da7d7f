"""Bytes of unknown content to uint8 HWC RGB, or a `Reject` that says why not.

What is converted: grey, palette, CMYK (without colour management), 16-bit grey (high byte) and 16-bit RGB, and
transparency (laid on white, as viewers show it); EXIF orientation is applied. What is rejected: shards.source.REASONS.
The content decides, never the file's extension.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from shards.errors import SchemaError
from shards.guard.decoding import PictureTooLargeError, open_picture
from shards.guard.plain_file import FileTooLargeError, read_plain
from shards.masks import U8, mask_from_file
from shards.source import Reject

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_FILE_BYTES = 300_000_000
"""Largest file that is read as a picture: 8192 x 8192 pixels of 4 bytes, uncompressed, and a little."""
ORIENTATION = 0x0112
"""EXIF tag."""
SWAP = 2
TURNS = {2: (1,), 3: (0, 1), 4: (0,), 5: (SWAP,), 6: (1, SWAP), 7: (0, 1, SWAP), 8: (0, SWAP)}
"""Orientation -> axes of the upright picture to be reversed, or SWAP both, one after the other, to get the file's."""
STRIP_PIXELS = 1 << 20
"""Pixels that are converted at once, so that a large picture is in memory once and not three times."""


@dataclass(frozen=True)
class Limits:
    """What size of picture is accepted, read from the header before any pixel is decoded."""

    min_side: int = 16
    max_side: int = 16384
    max_pixels: int = 1 << 26

    def __post_init__(self) -> None:
        if not 1 <= self.min_side <= self.max_side or self.max_pixels < 1:
            raise ValueError(f"need 1 <= min_side <= max_side and max_pixels >= 1, got {self}")


def read_file(path: str | os.PathLike[str], uri: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | Reject:
    """The bytes of a picture's file, or the reason why not. FIFOs, sockets, devices and folders are not opened."""
    try:
        return read_plain(path, max_bytes)
    except FileTooLargeError as error:
        return Reject(uri, "too_large", error.strerror or str(error))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return Reject(uri, "unreadable", getattr(error, "strerror", None) or str(error))
    except MemoryError as error:
        return Reject(uri, "too_large", f"out of memory: {error}")


def read_picture(data: bytes, uri: str, limits: Limits = Limits()) -> U8 | Reject:
    """File bytes -> uint8 HWC RGB, or the reason why not. Never raises for bad content."""
    if not data:
        return Reject(uri, "empty")
    if len(data) > MAX_FILE_BYTES:
        return Reject(uri, "too_large", f"{len(data)} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning; our own limits decide
            with open_picture(data, FORMATS) as picture:
                return refuse(picture, uri, limits) or to_rgb(picture)
    except UnidentifiedImageError:
        return unidentified(data, uri)
    except (PictureTooLargeError, Image.DecompressionBombError) as error:
        return Reject(uri, "too_large", str(error))
    except MemoryError as error:
        return Reject(uri, "too_large", f"out of memory: {error}")
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        return Reject(uri, "truncated", f"{type(error).__name__}: {error}")


def unidentified(data: bytes, uri: str) -> Reject:
    """Tell a picture cut inside its header from a file that never was one."""
    magic = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    is_webp = data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"")
    if data.startswith(magic) or is_webp or any(m.startswith(data) for m in magic):
        return Reject(uri, "truncated", f"the header of the picture is damaged ({len(data)} bytes)")
    return Reject(uri, "not_image", f"starts with {data[:8]!r}")


def refuse(picture: Image.Image, uri: str, limits: Limits) -> Reject | None:
    """Checks that need only the header."""
    width, height = picture.size
    if min(width, height) < limits.min_side:
        return Reject(uri, "too_small", f"{width}x{height} pixels; the shorter side must be at least {limits.min_side}")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        allowed = f"at most {limits.max_side} a side and {limits.max_pixels} in all"
        return Reject(uri, "too_large", f"{width}x{height} pixels; {allowed}")
    if is_animated(picture):
        return Reject(uri, "animated", "more than one frame")
    if picture.mode == "F" or (picture.mode == "I" and picture.format != "PNG"):
        return Reject(uri, "unsupported_depth", f"mode {picture.mode}")
    return None


def is_animated(picture: Image.Image) -> bool:
    """Whether there is a second frame. (How many there are would be found by walking through them all.)

    A JPEG with further pictures behind it (MPO) is none: phones put a depth map or the like there.
    """
    return picture.format != "MPO" and bool(getattr(picture, "is_animated", False))


def to_rgb(picture: Image.Image) -> U8:
    """An accepted picture -> uint8 HWC RGB. May raise anything Pillow raises on damaged data."""
    picture.load()
    width, height = picture.size
    turn = TURNS.get(picture.getexif().get(ORIENTATION, 1), ())
    image = np.empty((width, height, 3) if SWAP in turn else (height, width, 3), np.uint8)
    stored = image  # the same memory, seen as the file has it
    for step in turn:
        stored = stored.swapaxes(0, 1) if step == SWAP else np.flip(stored, step)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        stored[top : top + rows] = strip_to_rgb(picture.crop((0, top, width, min(top + rows, height))))
    return image


def strip_to_rgb(picture: Image.Image) -> U8:
    """A few rows of a picture, uint8 HWC RGB, or uint8 HW1 where it is grey."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        grey: U8 = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return grey[:, :, None]
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, seen)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_mask(data: bytes, uri: str, shape: tuple[int, int], threshold: int = 0) -> U8 | Reject:
    """PNG bytes with 0/128/255 -> uint8 HW with 0/1/255, or the reason why not.

    threshold: 1 to 255 takes any grey values, 8 bits each: from this on they are 1, below it 0.
    """
    try:
        with open_picture(data, ("PNG",)) as picture:
            if (picture.height, picture.width) != shape:
                detail = f"mask {picture.width}x{picture.height}, picture {shape[1]}x{shape[0]}"
                return Reject(uri, "mask_size", detail)
            if picture.mode == "I" or picture.mode.startswith("I;16"):
                return Reject(uri, "mask_values", "16 bits a pixel; save masks with 8")
            grey = np.asarray(picture.convert("L"))
            return (grey >= threshold).astype(np.uint8) if threshold else mask_from_file(grey)
    except SchemaError as error:
        hint = (
            "or say from which grey value on they are artifact: source.options.mask_threshold (1 for masks of 0 and 1)"
        )
        return Reject(uri, "mask_values", f"{error}; {hint}")
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        return Reject(uri, "mask_values", f"{type(error).__name__}: {error}")
