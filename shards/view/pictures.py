"""The pictures of a page: small ones, and masks to lay over them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from shards.masks import ARTIFACT, IGNORE, U8
from shards.show import RED, YELLOW, outline, scaled

SIDE = 192
"""Longer side of a picture on the page, in pixels, unless another is asked for."""
QUALITY = 80
FILL, EDGE = 90, 255
"""Opacity of the pixels within a region and of those at its border, of 255."""
Colour = tuple[int, int, int]
LABELS: dict[int, Colour] = {ARTIFACT: RED, IGNORE: YELLOW}
"""What the values of a mask look like, as on contact sheets."""


def thumbnail(image: U8, side: int) -> tuple[bytes, str]:
    """uint8 HWC RGB or HW grey -> a WebP file no larger than `side`, and its suffix."""
    buffer = io.BytesIO()
    small = scaled(image, min(side, max(image.shape[:2])))
    Image.fromarray(small).convert("RGB").save(buffer, format="WEBP", quality=QUALITY, method=2)
    return buffer.getvalue(), ".webp"


def overlay(labels: U8, side: int, colours: Mapping[int, Colour] = LABELS) -> tuple[bytes, str]:
    """uint8 HW -> a PNG file in which the values of `colours` are tinted with a border, all others transparent."""
    small = scaled(labels, min(side, max(labels.shape)), nearest=True)
    places = np.zeros(small.shape, np.uint8)
    palette, opacity = [(0, 0, 0)], [0]
    for value, colour in colours.items():
        places[small == value] = len(palette)
        places[outline(small, value)] = len(palette) + 1
        palette += [colour, colour]
        opacity += [FILL, EDGE]
    picture = Image.fromarray(places, "P")
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", transparency=bytes(opacity), optimize=True)
    return buffer.getvalue(), ".png"
