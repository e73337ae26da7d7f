"""Rows of pictures with their PAR."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from detector.maps import Row
from shards.fonts import fit, sheet_font
from shards.masks import U8
from shards.show import GAP, INK, LINE, PAPER, scaled

SIDE, FONT_SIZE = 128, 11


def row_sheet(rows: Sequence[tuple[str, Sequence[Row]]], picture: Callable[[str], U8]) -> U8:
    """uint8 HWC: a line of words, then the pictures of a row beside each other, PAR below each."""
    columns = max(len(members) for _, members in rows)
    font = sheet_font(FONT_SIZE)
    height = SIDE + 2 * LINE + 2 * GAP
    sheet = Image.new("RGB", (max(columns, 3) * (SIDE + GAP) + GAP, len(rows) * height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (words, members) in enumerate(rows):
        top = GAP + number * height
        pen.text((GAP, top), fit(words, font, sheet.width - 2 * GAP), fill=INK, font=font)
        for place, row in enumerate(members):
            left = GAP + place * (SIDE + GAP)
            sheet.paste(Image.fromarray(scaled(picture(row.key), SIDE)), (left, top + LINE))
            pen.text((left, top + LINE + SIDE), fit(f"PAR {row.par:.2%}", font, SIDE), fill=INK, font=font)
    return np.asarray(sheet)


def webp(sheet: U8) -> bytes:
    """File bytes."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=90)
    return buffer.getvalue()
