"""Contact sheets of the embedded world, for the docs and for `sample` and `render`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from miniworld.world.faults import random_fault
from miniworld.world.render import render
from miniworld.world.scenes import SIZE, Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError, MissingInputError
from shards.files import make_folder, write_bytes

Pixels = NDArray[np.uint8]
ZOOM, GAP, LABEL = 2, 4, 22
OUTLINE = (255, 0, 255)
SHEETS = ("renders", "round_trips", "samples", "wild", "faults")


def make_sheets(out: Path, weights: Path, sets: Path, names: Sequence[str] = SHEETS) -> list[Path]:
    """Write the named sheets to out/miniworld_NAME.webp; returns their paths.

    Raises ConfigError for an unknown name, MissingInputError without the weights or the labelled sets that one needs.
    """
    for name in names:
        if name not in SHEETS:
            raise ConfigError(f"unknown sheet {name!r}: choose from {', '.join(SHEETS)}")
    make_folder(out)
    makers: dict[str, Any] = {
        "renders": renders,
        "round_trips": lambda: round_trips(weights),
        "samples": lambda: samples(weights),
        "wild": lambda: wild(sets),
        "faults": faults,
    }
    return [save(out / f"miniworld_{name}.webp", makers[name]()) for name in names]


def show_scenes(count: int, start: int = 0) -> list[Scene]:
    """The scenes of the docs' pictures."""
    return [sample_scene(SPLITS["show"].seed(start + i)) for i in range(count)]


def renders(count: int = 64) -> Pixels:
    """Scenes as rendered."""
    return grid([zoom(render(s)) for s in show_scenes(count)], 8)


def round_trips(weights: Path, count: int = 64) -> Pixels:
    """Scenes with what the autoencoder makes of them below each."""
    from miniworld.generator.sample import load_pipeline, round_trip

    pictures = np.stack([render(s) for s in show_scenes(count)])
    trips = round_trip(load_pipeline(weights), pictures)
    return grid([zoom(np.concatenate([a, b])) for a, b in zip(pictures, trips, strict=True)], 16)


def samples(weights: Path, count: int = 64) -> Pixels:
    """Guided samples, with the key words of their captions."""
    from miniworld.generator.sample import load_pipeline, sample_images

    scenes = show_scenes(count)
    pictures = sample_images(load_pipeline(weights), [caption(s) for s in scenes], [s.seed for s in scenes])
    return grid([labelled(p, key_words(s)) for p, s in zip(pictures, scenes, strict=True)], 8)


def wild(sets: Path, count: int = 32) -> Pixels:
    """The first wild test pictures with a fault: each as it is, and with its mask outlined."""
    from shards.reader import ShardReader

    if not (sets / "wild-test").exists():
        raise MissingInputError(f"{sets} holds no wild-test set: make it with `python -m miniworld sets`")
    reader = ShardReader(sets / "wild-test", cache=False)
    found: list[Pixels] = []
    for index in range(len(reader)):
        if len(found) == count:
            break
        mask = reader.mask(index)
        if mask.any():
            found.append(pair(reader.image(index), mask))
    return grid(found, 4)


def faults(count: int = 32) -> Pixels:
    """Drawn faults: each as it is, and with its mask outlined."""
    found: list[Pixels] = []
    for scene in show_scenes(8 * count, start=1000):
        drawn = random_fault(scene, np.random.default_rng(scene.seed))
        if drawn is not None and len(found) < count:
            found.append(labelled(pair(drawn.image, drawn.mask), [f.kind for f in drawn.faults], zoomed=True))
    return grid(found, 4)


def key_words(scene: Scene) -> list[str]:
    """A few words for each thing of a scene, from left to right."""
    words = []
    for t in sorted(scene.things, key=lambda t: t.x):
        short = {"face": f"{t.mouth} face", "hand": f"{t.skin} hand", "sign": t.word}
        words.append(short.get(t.kind, f"{t.paint} {t.kind}"))
    return words


def zoom(image: Pixels, factor: int = ZOOM) -> Pixels:
    """HWC enlarged by whole pixels."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def outlined(image: Pixels, mask: Pixels, factor: int = ZOOM) -> Pixels:
    """The enlarged picture with the edge of its mask (HW, 1 inside) drawn just outside the masked pixels."""
    big = zoom(image, factor).copy()
    inside = np.kron(mask == 1, np.ones((factor, factor), bool))
    big[ndimage.binary_dilation(inside) & ~inside] = OUTLINE
    return big


def pair(image: Pixels, mask: Pixels) -> Pixels:
    """The picture beside itself with its mask outlined, enlarged."""
    return np.concatenate([zoom(image), outlined(image, mask)], axis=1)


def labelled(image: Pixels, words: Sequence[str], zoomed: bool = False) -> Pixels:
    """A tile with up to two lines of text below it."""
    big = image if zoomed else zoom(image)
    tile = Image.new("RGB", (big.shape[1], big.shape[0] + LABEL), "white")
    tile.paste(Image.fromarray(big))
    font, pen = ImageFont.load_default(size=9), ImageDraw.Draw(tile)
    lines = [", ".join(words)]
    if pen.textlength(lines[0], font=font) > big.shape[1] and len(words) > 1:
        lines = [", ".join(words[: len(words) // 2]) + ",", ", ".join(words[len(words) // 2 :])]
    for row, line in enumerate(lines):
        pen.text((1, big.shape[0] + 10 * row), line, fill="black", font=font)
    return np.asarray(tile)


def grid(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """Equal tiles on white, `columns` in a row. Raises ConfigError (a ValueError) when there are none."""
    if not tiles:
        raise ConfigError("a sheet needs at least one picture")
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def save(path: Path, sheet: Pixels) -> Path:
    """Write a sheet as WebP (quality 90) or, by the name's ending, as PNG. Raises OutputError."""
    buffer = io.BytesIO()
    if path.suffix == ".png":
        Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    else:
        Image.fromarray(sheet).save(buffer, "WEBP", quality=90, method=6)
    write_bytes(path, buffer.getvalue())
    return path


def scene_sheet(pictures: Sequence[Pixels], scenes: Sequence[Scene]) -> Pixels:
    """Pictures (uint8 HWC, SIZE x SIZE) with their scenes' key words, up to eight in a row."""
    assert all(p.shape == (SIZE, SIZE, 3) for p in pictures)
    tiles = [labelled(p, key_words(s)) for p, s in zip(pictures, scenes, strict=True)]
    return grid(tiles, min(8, len(tiles)))
