"""Contact sheets: source, mask outline and the damaged picture side by side, with what was done in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from shards.errors import ConfigError
from shards.files import write_bytes
from shards.fonts import Font, fit, sheet_font
from shards.images import MAX_PIXELS, encode_image
from shards.masks import ARTIFACT, IGNORE, U8
from shards.reader import ShardReader
from shards.schema import Sample

GAP, LINES, LINE, FONT_SIZE = 6, 2, 14, 11
HEADER = GAP + 2 * LINE
"""Pixels above the samples: legend and titles."""
RED, YELLOW, PAPER, INK = (230, 30, 40), (240, 190, 0), (250, 250, 248), (40, 40, 40)
LEGEND = (
    (RED, "artifact"),
    (YELLOW, "ignored"),
    (None, "%: area of the mask; change: mean difference from the twin, of 255, in and out of it"),
)


def outline(mask: U8, value: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """bool HW: pixels of `value` that touch another value (4 neighbours) or the border."""
    inside = np.pad(mask == value, 1)
    core = inside[1:-1, 1:-1]
    kept = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    edge: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = core & ~kept
    return edge


def scaled(array: U8, side: int, nearest: bool = False) -> U8:
    """Picture or mask with its longer side brought to `side`."""
    height, width = array.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sharp = nearest or scale >= 1
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.BOX))


def panels(sample: Sample, side: int) -> list[U8]:
    """Three uint8 HWC pictures: the twin (where there is none the picture itself), with outlines, the damaged one."""
    before = scaled(sample.source if sample.source is not None else sample.image, side)
    mask = scaled(sample.mask, side, nearest=True)
    marked = before.copy()
    marked[outline(mask, IGNORE)] = YELLOW
    marked[outline(mask, ARTIFACT)] = RED
    return [before, marked, scaled(sample.image, side)]


def words(sample: Sample) -> list[str]:
    """Two short lines below a sample."""
    meta = sample.meta
    what = "clean" if meta.label == "clean" else f"{meta.corruption.method} {meta.mask.area:.1%}"
    if meta.corruption.start_step >= 0 and meta.label != "clean":
        what += f" step {meta.corruption.start_step}"
    if meta.change.inside >= 0:
        what += f"  change {meta.change.inside:.3g} in, {meta.change.outside:.3g} out"
    return [f"{sample.key}  {what}", meta.source.caption or Path(meta.source.uri).name]


def contact_sheet(samples: Sequence[Sample], columns: int = 2, side: int = 160) -> U8:
    """uint8 HWC sheet of the samples, three panels each, `columns` samples a row; above them a legend and titles.

    Raises ConfigError for a sheet of more than MAX_PIXELS.
    """
    font = sheet_font(FONT_SIZE)
    cell_width, cell_height = 3 * (side + GAP) + 2 * GAP, side + LINES * LINE + 2 * GAP
    rows = -(-len(samples) // columns)
    size = columns * cell_width + GAP, HEADER + rows * cell_height + GAP
    if size[0] * size[1] > MAX_PIXELS:
        raise ConfigError(
            f"a sheet of {len(samples)} samples, {columns} a row, with panels of {side} pixels has more than the "
            f"{MAX_PIXELS} pixels that are drawn; ask for fewer samples or columns, or smaller panels"
        )
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    twins: set[bool] = set()
    for number, sample in enumerate(samples):
        left, top = GAP + number % columns * cell_width, HEADER + GAP + number // columns * cell_height
        twins.add(sample.source is not None)
        for place, panel in enumerate(panels(sample, side)):
            sheet.paste(Image.fromarray(panel), (left + place * (side + GAP), top))
        for row, text in enumerate(words(sample)):
            pen.text((left, top + side + 2 + row * LINE), fit(text, font, 3 * side), fill=INK, font=font)
    draw_legend(pen, font, size[0] - 2 * GAP)
    for number in range(min(columns, len(samples))):
        for place, title in enumerate(titles(twins)):
            left = GAP + number * cell_width + place * (side + GAP)
            pen.text((left, GAP + LINE), fit(title, font, side), fill=INK, font=font)
    return np.asarray(sheet)


def titles(twins: set[bool]) -> tuple[str, str, str]:
    """Of the three panels; `twins`: whether samples have a clean twin, for all of them or for some."""
    first = "clean twin" if twins == {True} else "picture" if twins == {False} else "clean twin, or picture"
    return first, "mask", "sample"


def draw_legend(pen: ImageDraw.ImageDraw, font: Font, width: int) -> None:
    """What the colours and the words below a sample mean."""
    left = GAP
    for colour, text in LEGEND:
        if colour:
            pen.rectangle((left, GAP + 2, left + 9, GAP + 11), outline=colour, width=2)
            left += 14
        shown = fit(text, font, max(width - left, 1))
        pen.text((left, GAP), shown, fill=INK, font=font)
        left += math.ceil(font.getlength(shown)) + 2 * GAP


class Chosen(Sequence[Sample]):
    """Some samples of a reader, read when they are asked for."""

    def __init__(self, reader: ShardReader, indices: Sequence[int]) -> None:
        self.reader, self.indices = reader, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Sample:  # type: ignore[override]
        return self.reader[self.indices[place]]


def choose(count: int, num: int) -> list[int]:
    """`num` indices spread evenly over `count` samples, always the same."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(num, count)).round())] if count else []


def write_sheet(path: Path, samples: Sequence[Sample], columns: int = 2, side: int = 160) -> None:
    """Write a contact sheet as PNG. Raises ConfigError, OutputError, and SchemaError where a sample is damaged."""
    write_bytes(path, encode_image(contact_sheet(samples, columns, side), "png"))
