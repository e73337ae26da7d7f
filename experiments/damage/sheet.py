"""A sheet of an arm's pictures: twin, corrupted picture with the label's outline, what the oracle calls broken."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.damage.arms import Made
from shards.files import write_bytes

SCALE, COLUMNS, GAP = 2, 8, 4
LABEL, FAULT = (255, 0, 255), (255, 220, 0)


def write_arm_sheet(path: Path, made: Sequence[Made]) -> None:
    """Four rows of pictures for each COLUMNS sources: twin, corrupted, label, fault. Raises OutputError."""
    columns: list[NDArray[np.uint8]] = []
    for one in made:
        for place, fault in enumerate(one.faults):
            twin, picture = one.done.round_trips_NHWC[place].numpy(), one.done.images_NHWC[place].numpy()
            label = one.done.masks_NHW[place].numpy() == 1
            columns.append(
                np.concatenate([twin, picture, marked(picture, label, LABEL), marked(picture, fault > 0, FAULT)])
            )
    if not columns:
        return
    columns += [np.full_like(columns[0], 255)] * (-len(columns) % COLUMNS)
    gap = np.full((GAP, COLUMNS * columns[0].shape[1], 3), 255, np.uint8)
    bands = [np.concatenate(columns[k : k + COLUMNS], axis=1) for k in range(0, len(columns), COLUMNS)]
    pixels = np.concatenate([piece for band in bands for piece in (band, gap)])
    image = Image.fromarray(pixels).resize((pixels.shape[1] * SCALE, pixels.shape[0] * SCALE), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    write_bytes(path, buffer.getvalue())


def marked(picture: NDArray[np.uint8], where: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture with pixels of a mask in a colour, half through."""
    found = picture.copy()
    found[where] = found[where] // 2 + np.array(colour, np.uint8) // 2
    return found
