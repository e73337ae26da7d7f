"""Before, mask and after, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from applications.repair.crops import Bool
from applications.repair.loop import KEPT, Work
from shards.files import write_bytes
from shards.fonts import fit, sheet_font
from shards.masks import U8
from shards.show import GAP, INK, LINE, PAPER, RED, YELLOW, outline, scaled

SIDE, COLUMNS, MOST = 192, 2, 64
FONT_SIZE = 11
TITLES = ("before", "red: marked, yellow: replaced", "after")


def write_sheet(path: Path, shown: Sequence[tuple[str, Work]]) -> None:
    """Write a sheet of pictures with their keys as WebP, none where there are no pictures. Raises OutputError."""
    if not shown:
        return
    buffer = io.BytesIO()
    Image.fromarray(draw_sheet(shown[:MOST])).save(buffer, "WEBP", quality=90)
    write_bytes(path, buffer.getvalue())


def draw_sheet(shown: Sequence[tuple[str, Work]]) -> U8:
    """uint8 HWC: three panels a picture, two pictures a row, a line of words below each.

    The works must still hold the picture as it came.
    """
    return lay_out(
        [(words(key, work), panels(work.before, work.mask_before, work.changed, work.image)) for key, work in shown]
    )


def lay_out(shown: Sequence[tuple[str, Sequence[U8]]]) -> U8:
    """uint8 HWC: a line of words and three square panels a picture, as `draw_sheet` places them."""
    font = sheet_font(FONT_SIZE)
    cell = (3 * (SIDE + GAP) + 2 * GAP, SIDE + LINE + 2 * GAP)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * cell[0] + GAP, LINE + GAP + rows * cell[1] + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (line, pictures) in enumerate(shown):
        left, top = GAP + number % columns * cell[0], LINE + 2 * GAP + number // columns * cell[1]
        for place, panel in enumerate(pictures):
            sheet.paste(Image.fromarray(panel), (left + place * (SIDE + GAP), top))
            if number < columns:
                pen.text((left + place * (SIDE + GAP), GAP), fit(TITLES[place], font, SIDE), fill=INK, font=font)
        pen.text((left, top + SIDE + 2), fit(line, font, 3 * SIDE), fill=INK, font=font)
    return np.asarray(sheet)


def panels(before: U8, marked: Bool, changed: Bool, after: U8) -> list[U8]:
    """Three uint8 HWC pictures of two and the outlines of two bool HW masks."""
    lined = scaled(before, SIDE).copy()
    for mask, colour in ((changed, YELLOW), (marked, RED)):
        lined[outline(scaled(mask.astype(np.uint8), SIDE, nearest=True), 1)] = colour
    return [scaled(before, SIDE), lined, scaled(after, SIDE)]


def words(key: str, work: Work) -> str:
    """What became of a picture."""
    before, after = (float(mask.mean()) for mask in (work.mask_before, work.now.mask))
    kept = sum(attempt.verdict == KEPT for attempt in work.attempts)
    undone = len(work.attempts) - kept
    note = f"; {work.note}" if work.note else ""
    return f"{key}: PAR {before:.1%} to {after:.1%}, {kept} kept, {undone} undone, {work.left} left{note}"
