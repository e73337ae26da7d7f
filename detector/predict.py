"""`python -m detector predict`: what a detector sees in pictures, as files, and the pictures from best to worst.

    DIR/heat/KEY.png       8-bit grey, round(255 * probability of an artifact), at the picture's own size
    DIR/masks/KEY.png      0 and 255: probability at or above the threshold
    DIR/overlays/KEY.webp  the picture with heat in red and the mask's outline in white
    DIR/par.csv, par.json  a line for each picture, least artifact first; PAR = pixels in the mask / all pixels
    DIR/rejects.jsonl      inputs that are no pictures, each with its reason
    DIR/predict.json       checkpoint, threshold and input; the same command again goes on

While the model looks at one batch, threads read the next and write the last: Pillow frees Python's lock.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from detector.checkpoint import fingerprint
from detector.heat import Detector, Heat, enlarge
from detector.inputs import Picture, Pictures, ShardPictures, open_inputs
from shards.config import differences
from shards.errors import ConfigError, ResumeError
from shards.files import PARTIAL, explain, make_folder, write_bytes, write_json
from shards.masks import U8
from shards.progress import GOES_ON, Progress
from shards.source import Reject

HEAT, MASKS, OVERLAYS, RUN = "heat", "masks", "overlays", "predict.json"
AHEAD = 2
"""Batches that are read in advance."""


@dataclass(frozen=True)
class Options:
    """How to look."""

    threshold: float = 0.5
    batch: int = 16
    device: str = "auto"
    overlays: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"--threshold must lie between 0 and 1, got {self.threshold}")
        if self.batch < 1:
            raise ConfigError(f"--batch must be 1 or more, got {self.batch}")


@dataclass(frozen=True)
class Row:
    """One picture: `par` is the share of its pixels in the mask, the others are of the 8-bit heat map / 255."""

    key: str
    par: float
    max: float
    mean: float
    artifact_pixels: int
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Outcome:
    """What was found; rows from best to worst."""

    rows: list[Row]
    rejects: list[Reject]
    out: Path

    def words(self) -> str:
        """One line."""
        marked = sum(row.artifact_pixels > 0 for row in self.rows)
        lost = f", {len(self.rejects)} rejected (rejects.jsonl)" if self.rejects else ""
        return f"{len(self.rows)} pictures in {self.out}, {marked} with artifacts{lost}"


def predict(
    checkpoint: Path, where: str, out: Path, options: Options = Options(), config: str | None = None
) -> Outcome:
    """Look at every picture and write what the module's head lists.

    Raises MissingInputError, InputError, CheckpointError, ConfigError, ResumeError (OUT holds something else),
    OutputError.
    """
    inputs = open_inputs(where)
    card = None
    if config is not None:
        from detector.train import card_of_config

        card = card_of_config(config)
    detector = Detector(checkpoint, card, options.device)
    claim(out, {"checkpoint_sha256": fingerprint(checkpoint), "input": where, **asdict(options)})
    rows, rejects = look_at_all(detector, inputs, out, options)
    rows.sort(key=lambda row: (row.par, row.max, row.mean, row.key))
    write_table(out, rows, options.threshold)
    lines = "".join(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
    write_bytes(out / "rejects.jsonl", lines.encode("utf-8", "backslashreplace"))
    return Outcome(rows, rejects, out)


def claim(out: Path, identity: dict[str, Any]) -> None:
    """Open the folder, new or with the same work begun. Raises ResumeError, OutputError."""
    path = out / RUN
    same = {key: value for key, value in identity.items() if key not in ("batch", "device")}
    if path.is_file():
        try:
            stored = json.loads(path.read_bytes())
        except ValueError as error:
            raise ResumeError(f"{path} is damaged ({error}); choose another folder") from error
        changed = differences(stored, same)
        if changed:
            raise ResumeError(f"{out} holds other predictions ({'; '.join(changed)}); choose another folder")
    elif out.is_dir() and any(out.iterdir()):
        raise ResumeError(f"{out} holds other files; choose an empty folder")
    for name in (HEAT, MASKS, OVERLAYS) if identity["overlays"] else (HEAT, MASKS):
        make_folder(out / name)
    write_json(path, same)


def look_at_all(
    detector: Detector, inputs: Pictures | ShardPictures, out: Path, options: Options
) -> tuple[list[Row], list[Reject]]:
    """Rows and rejects in the order of the input."""
    rows: dict[int, Row] = {}
    rejects: list[Reject] = []
    writing: deque[tuple[int, Future[Row]]] = deque()
    with (
        ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool,
        Progress(len(inputs), "picture", resumes=GOES_ON) as shown,
    ):
        for batch in read_ahead(detector, inputs, out, options, pool):
            fresh = []
            for index, loaded in batch:
                if isinstance(loaded, Reject):
                    rejects.append(loaded)
                elif isinstance(loaded, Row):
                    rows[index] = loaded
                else:
                    fresh.append((index, *loaded))
            heats = detector.look([small for _, _, small in fresh]).float().cpu() if fresh else []
            for (index, picture, _), heat in zip(fresh, heats, strict=True):
                writing.append((index, pool.submit(write_picture, picture, heat, out, options)))
            while len(writing) > AHEAD * options.batch:
                index, row = writing.popleft()
                rows[index] = row.result()
            shown.update(len(batch), sum(isinstance(loaded, Reject) for _, loaded in batch))
        rows.update({index: row.result() for index, row in writing})
    return [rows[index] for index in sorted(rows)], rejects


Loaded = Reject | Row | tuple[Picture, U8]


def read_ahead(
    detector: Detector, inputs: Pictures | ShardPictures, out: Path, options: Options, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[int, Loaded]]]:
    """Batches of (index, loaded), read in threads a few batches in advance."""

    def load(index: int) -> Loaded:
        picture = inputs.load(index)
        if isinstance(picture, Reject):
            return picture
        return finished(picture, out, options) or (picture, detector.prepare(picture.image))

    waiting: deque[list[tuple[int, Future[Loaded]]]] = deque()
    for first in range(0, len(inputs), options.batch):
        indices = range(first, min(first + options.batch, len(inputs)))
        waiting.append([(index, pool.submit(load, index)) for index in indices])
        if len(waiting) > AHEAD:
            yield [(index, future.result()) for index, future in waiting.popleft()]
    for batch in waiting:
        yield [(index, future.result()) for index, future in batch]


def write_picture(picture: Picture, small: Any, out: Path, options: Options) -> Row:
    """The files of one picture; the heat map last, since it marks the picture as done."""
    heat = enlarge(small, *picture.image.shape[:2])
    mask = np.where(heat >= options.threshold, np.uint8(255), np.uint8(0))
    grey = np.rint(heat * 255).astype(np.uint8)
    if options.overlays:
        save(out / OVERLAYS / f"{picture.key}.webp", overlay(picture.image, heat, mask), quality=90)
    save(out / MASKS / f"{picture.key}.png", mask, compress_level=1)
    save(out / HEAT / f"{picture.key}.png", grey, compress_level=1)
    return make_row(picture, mask, grey)


def make_row(picture: Picture, mask: U8, grey: U8) -> Row:
    """Counts first, shares derived."""
    pixels = int(np.count_nonzero(mask))
    height, width = mask.shape
    mean = float(grey.mean(dtype=np.float64)) / 255
    top = int(grey.max()) / 255
    return Row(picture.key, pixels / mask.size, round(top, 6), round(mean, 6), pixels, width, height, picture.uri)


def finished(picture: Picture, out: Path, options: Options) -> Row | None:
    """The row of a picture whose files are there from an earlier, killed call."""
    heat, mask = out / HEAT / f"{picture.key}.png", out / MASKS / f"{picture.key}.png"
    if not heat.is_file() or not mask.is_file():
        return None
    with Image.open(mask) as marked, Image.open(heat) as grey:
        return make_row(picture, np.asarray(marked), np.asarray(grey))


def save(path: Path, array: U8, **options: Any) -> None:
    """Write a picture so that its name only ever holds the whole. Raises OutputError."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        Image.fromarray(array).save(partial, "WEBP" if path.suffix == ".webp" else "PNG", **options)
        partial.replace(path)
    except OSError as error:
        raise explain(error, path) from error


def overlay(image: U8, heat: Heat, mask: U8) -> U8:
    """uint8 HWC RGB with the heat laid over it in red, and a white line around each marked region."""
    weight = 0.6 * heat[:, :, None]
    mixed = image * (1 - weight) + weight * np.array([255, 0, 0], np.float32)
    drawn = np.rint(mixed).astype(np.uint8)
    marked = mask > 0
    drawn[ndimage.binary_dilation(marked) & ~marked] = 255
    return drawn


def write_table(out: Path, rows: list[Row], threshold: float) -> None:
    """par.csv and par.json."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(Row.__dataclass_fields__), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_bytes(out / "par.csv", text.getvalue().encode("utf-8", "backslashreplace"))
    write_json(out / "par.json", {"threshold": threshold, "pictures": [asdict(row) for row in rows]})
