"""The resolution at which prediction and truth meet.

"truth" (default): the prediction is resized to the truth's size. A whole number S: both are resized to S x S without
keeping the aspect ratio, as PAL tests at 512. "same": sizes must be equal.
Scores and soft truth are resized bilinearly (half-pixel centres, averaging where they shrink); masks, predicted or
true, take the nearest pixel, so that ignored pixels stay ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.score.counts import ScoreError
from shards.masks import U8

MAX_SIDE = 16384
RESIZE = {"scores": "bilinear, averaging where it shrinks", "masks": "nearest"}


def parse_meet(text: str) -> str:
    """Return "truth", "same" or a side length as text. Raises ScoreError."""
    if text in ("truth", "same"):
        return text
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SIDE:
        raise ScoreError(f"meet is {text!r}; allowed are 'truth', 'same' or a side length 1..{MAX_SIDE} such as 512")
    return str(int(text))


def bring(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resize HW to `shape`: float bilinear to float32, uint8 and bool nearest to uint8."""
    if array.shape == shape:
        return array
    size = (shape[1], shape[0])
    if array.dtype.kind == "f":
        picture = Image.fromarray(np.ascontiguousarray(array, np.float32))
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(array, np.uint8)).resize(size, Image.Resampling.NEAREST))


def meet_at(
    key: str, truth: U8, prediction: NDArray[Any], soft: NDArray[Any] | None, meet: str
) -> tuple[U8, NDArray[Any], NDArray[Any] | None]:
    """Truth uint8 HW, prediction and soft truth HW of any size -> all of one size. Raises ScoreError."""
    for name, array in (("truth", truth), ("prediction", prediction), ("truth heat", soft)):
        if array is not None and (array.ndim != 2 or 0 in array.shape):
            raise ScoreError(f"{key}: {name} has shape {array.shape}; expected height x width")
    if meet == "same" and prediction.shape != truth.shape:
        raise ScoreError(
            f"{key}: prediction is {size_text(prediction)}, truth {size_text(truth)}; "
            "let them meet at the truth's size or at a fixed one"
        )
    shape = truth.shape if meet in ("truth", "same") else (int(meet), int(meet))
    shape = (int(shape[0]), int(shape[1]))
    return bring(truth, shape), bring(prediction, shape), None if soft is None else bring(soft, shape)


def is_stretched(truth: NDArray[Any], prediction: NDArray[Any]) -> bool:
    """Whether the aspect ratios differ by more than rounding to whole pixels explains."""
    (h, w), (ph, pw) = truth.shape, prediction.shape
    return bool(abs(ph * w - pw * h) >= max(h, w))


def size_text(array: NDArray[Any]) -> str:
    """Width x height."""
    return f"{array.shape[1]}x{array.shape[0]}"
