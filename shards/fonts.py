"""A font for captions in any European language, found without being shipped, and text cut to a width."""

from __future__ import annotations

import bisect
import math
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FILE = "mpl-data/fonts/ttf/DejaVuSans.ttf"
"""Within matplotlib, which mmengine installs; DejaVu has Latin, Greek and Cyrillic letters."""


@lru_cache(maxsize=8)
def sheet_font(size: int) -> Font:
    """DejaVu Sans where it is there, else Pillow's own font, which has ASCII alone."""
    found = find_spec("matplotlib")  # looked for, not imported
    for folder in (found.submodule_search_locations or []) if found else []:
        try:
            return ImageFont.truetype(str(Path(folder) / FILE), size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def has_letters(font: Font) -> bool:
    """Whether umlauts can be drawn: a font draws one box for everything that it lacks."""
    try:
        return bytes(font.getmask("ä")) != bytes(font.getmask("\ue000"))
    except (UnicodeError, OSError):
        return False


def drawable(text: str, font: Font) -> str:
    """One line of the text; what the font lacks loses its accents, or becomes '?'."""
    line = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())
    if not has_letters(font):
        line = unicodedata.normalize("NFKD", line.replace("ß", "ss"))
        line = "".join(c for c in line if not unicodedata.combining(c)).encode("ascii", "replace").decode("ascii")
    return line


def fit(text: str, font: Font, width: int) -> str:
    """Cut a text to `width` pixels."""
    line = drawable(text[: 4 * width], font)[: width + 1]  # a character takes a pixel at least
    if font.getlength(line) <= width:
        return line
    most = bisect.bisect_right(range(len(line)), width, key=lambda end: math.ceil(font.getlength(line[:end] + "...")))
    return line[: max(most - 1, 0)] + "..."
