"""The same source pictures under every arm: a row an arm, a column a source, masks outlined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw

from ablation.blocks import Figure
from ablation.plan import Plan
from ablation.stages import is_done, read_done
from shards.files import write_bytes
from shards.fonts import fit, sheet_font
from shards.masks import ARTIFACT, IGNORE, U8
from shards.reader import ShardReader
from shards.schema import Sample, encode_image
from shards.show import GAP, INK, PAPER, RED, YELLOW, outline, scaled

STRIP, NUM_SOURCES, SIDE, MARGIN = "strip.png", 8, 128, 150
LETTERS, MOST_LINES = 17, 6
"""Of an arm's name beside its row."""
GREY = (225, 225, 222)
LOOKED_AT = 2000
"""Samples of an arm among which common sources are looked for."""


def write_strip(out: Path, plan: Plan, stages: Path) -> list[Figure]:
    """OUT/strip.png, where the line made pictures of any arm. Raises OutputError."""
    runs: dict[str, Path] = {}
    for arm in plan.grid.arms:
        made = plan.data[arm.name]
        if plan.made_by_line(arm.name) is None or not is_done(stages, made.stage):
            continue
        if read_done(stages, made.stage)["samples"]:
            runs[arm.name] = made.folder(stages)
    found = {name: broken_by_source(folder) for name, folder in runs.items()}
    sources = common(list(found.values()))
    if not sources:
        return []
    rows = {name: [samples.get(source) for source in sources] for name, samples in found.items()}
    rows = {name: row for name, row in rows.items() if any(one is not None for one in row)}
    readers = {name: ShardReader(runs[name], cache=False) for name in rows}
    pictures = {name: [None if at is None else readers[name][at] for at in row] for name, row in rows.items()}
    write_bytes(out / STRIP, encode_image(draw(pictures), "png"))
    missing = [name for name in runs if name not in rows]
    text = (
        "the same sources under every arm; red: the mask. Grey: no sample, its region was dropped or it is clean there"
    )
    return [Figure(out / STRIP, text + (f". Of other sources: {', '.join(missing)}" if missing else ""))]


def broken_by_source(folder: Path) -> dict[str, int]:
    """Where the first sample with artifacts of each source is, among the first `LOOKED_AT`."""
    reader = ShardReader(folder)
    found: dict[str, int] = {}
    for at in range(min(LOOKED_AT, len(reader))):
        meta = reader.meta(at)
        if meta.label == "artifact":
            found.setdefault(meta.source.uri, at)
    return found


def common(found: Sequence[dict[str, int]]) -> list[str]:
    """The sources that most arms have, in their order."""
    counts = Counter(source for one in found for source in one)
    order = {source: number for number, source in enumerate(counts)}
    return sorted(
        sorted(counts, key=lambda source: (-counts[source], order[source]))[:NUM_SOURCES], key=order.__getitem__
    )


def draw(rows: dict[str, list[Sample | None]]) -> U8:
    """uint8 HWC: sources on top, then a row an arm."""
    columns = len(next(iter(rows.values())))
    font = sheet_font(15)
    step = SIDE + GAP
    sheet = Image.new("RGB", (MARGIN + columns * step + GAP, (len(rows) + 1) * step + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column in range(columns):
        shown = next(one for row in rows.values() if (one := row[column]) is not None)
        before = shown.source if shown.source is not None else shown.image
        sheet.paste(square(before), (MARGIN + column * step, GAP))
    for number, (name, row) in enumerate({"source": [], **rows}.items()):
        top = GAP + number * step
        lines = [fit(line, font, MARGIN - 2 * GAP) for line in wrap(name, LETTERS)[:MOST_LINES]]
        pen.text((GAP, top + SIDE // 2), "\n".join(lines), fill=INK, font=font, anchor="lm")
        for column, sample in enumerate(row):
            sheet.paste(square(marked(sample)) if sample else GREY, box(MARGIN + column * step, top))
    return np.asarray(sheet)


def box(left: int, top: int) -> tuple[int, int, int, int]:
    return left, top, left + SIDE, top + SIDE


def square(picture: U8) -> Image.Image:
    """The picture in the middle of a square tile."""
    small = Image.fromarray(scaled(picture, SIDE))
    tile = Image.new("RGB", (SIDE, SIDE), PAPER)
    tile.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return tile


def marked(sample: Sample) -> U8:
    """The picture with its mask outlined."""
    picture, mask = scaled(sample.image, SIDE).copy(), scaled(sample.mask, SIDE, nearest=True)
    picture[outline(mask, IGNORE)] = YELLOW
    picture[outline(mask, ARTIFACT)] = RED
    return picture
