"""From RichHF's grey maps to binary labels: what a stored map is, how many people made it, which pixels they agree on.

A map is the mean over n annotators of what each marked, so in flat areas it takes the levels k * 255 / n. n is stored
nowhere. It is told from the levels; where those are silent (an empty map, or one that is all black and white) from the
misalignment map of the same annotators, and then from the scores, which are means of n ratings on five steps and thus
multiples of 1 / (4 n) on the unit scale. The smallest n that fits is taken, and what told it is recorded.
Rule of Menn et al. 2025, section 4.1: at least three annotators; a pixel is artifact if two of three marked it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shards.guard.decoding import PictureTooLargeError, open_picture
from shards.masks import U8
from shards.sources.pictures import FORMATS

ScoreScale = Literal["unit", "1-5", "unknown"]
Rule = Literal["two_thirds", "two_marks"]
RULES: tuple[Rule, ...] = ("two_thirds", "two_marks")
PAPER_KEPT = {"train": 7801, "test": 500}
"""Samples left by the rule, Menn et al. 2025, section 4.1."""
PAPER_ANNOTATORS = 3
NUMBERS = frozenset(range(1, 6))
"""Numbers of annotators that are considered. Six would explain every map of two or three as well."""
NEAR = 6
"""Grey values by which a flat pixel may miss its level; the closest levels of 3 and 5 annotators are 17 apart."""
FLAT = 4
"""Largest range of grey values in a flat 3x3 neighbourhood."""
MIN_FLAT = 64
"""Flat marked pixels below which a map says nothing of the number of annotators."""
MAX_ODD = 0.03
"""Share of flat marked pixels that may lie off the levels: what JPEG leaves beside edges."""
GRANULARITY = 0.01
"""Distance of score * 4 n from a whole number that still counts as none."""
MAX_MAP_PIXELS = 1 << 24


class MapError(ValueError):
    """A stored map that cannot be read as one grey plane."""


@dataclass(frozen=True)
class GreyMap:
    """A decoded map: grey uint8 HW, 0..255, and the form in which it was stored, such as "JPEG 0..255"."""

    grey: U8
    form: str


@dataclass(frozen=True)
class Annotators:
    """How many people made a label: `number` (0 where it cannot be told), what told it, and what contradicts it."""

    number: int
    basis: str
    disagreement: str = ""


NOBODY = Annotators(0, "nothing")


def decode_map(stored: Any) -> GreyMap:
    """An encoded picture (bytes, or the hub's {"bytes": ...}) or an array of numbers -> GreyMap. Raises MapError.

    A scale of 0..1 shows in the values: a marked map on 0..255 cannot have a maximum of 1.
    """
    if isinstance(stored, Mapping):
        stored = stored.get("bytes")
    if stored is None:
        raise MapError("there is no map")
    if isinstance(stored, (bytes, bytearray, memoryview)):
        values, form = decode_picture(bytes(stored))
    else:
        values = np.asarray(stored)
        form = str(values.dtype)
    if values.size > MAX_MAP_PIXELS:
        raise MapError(f"the map has {values.size} values; at most {MAX_MAP_PIXELS} are read")
    if values.dtype.kind not in "biuf":
        raise MapError(f"the map holds values of type {values.dtype}; expected numbers")
    values = one_plane(values)
    top = float(values.max())
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise MapError("the map holds values that are not finite")
    if float(values.min()) < 0 or top > 255:
        raise MapError(f"the map holds values from {float(values.min()):g} to {top:g}; expected 0..1 or 0..255")
    if top == 0:
        return GreyMap(np.zeros(values.shape, np.uint8), f"{form} empty")
    # JPEG cannot hold a scale of 0..1; there a maximum of 1 is its noise.
    scale, text = (255.0, "0..1") if top <= 1 and not form.startswith("JPEG") else (1.0, "0..255")
    exact = values if values.dtype == np.uint8 and scale == 1 else np.rint(values * scale).astype(np.uint8)
    return GreyMap(exact, f"{form} {text}")


def decode_picture(data: bytes) -> tuple[NDArray[Any], str]:
    """Encoded picture -> (numbers HW, format name). The content decides. Raises MapError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning; our own limit decides
            with open_picture(data, FORMATS) as picture:
                name, mode = picture.format or "?", picture.mode
                if picture.width * picture.height > MAX_MAP_PIXELS:
                    raise MapError(f"the map has {picture.width}x{picture.height} pixels; at most {MAX_MAP_PIXELS}")
                if mode in ("I", "I;16"):
                    return np.asarray(picture).astype(np.int64) >> 8, f"{name} 16-bit"
                if mode in ("P", "LA", "RGB", "RGBA"):
                    return grey_of(np.asarray(picture.convert("RGB"))), f"{name} {mode}"
                if mode not in ("L", "1"):
                    raise MapError(f"the map is a {name} of mode {mode}; expected one grey channel")
                return np.asarray(picture.convert("L")), name
    except MapError:
        raise
    except PictureTooLargeError as error:
        raise MapError(f"the map: {error}") from error
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        raise MapError(f"the map is no readable picture ({type(error).__name__}; begins with {data[:8]!r})") from error


def grey_of(rgb: U8) -> U8:
    """uint8 HWC whose channels are equal up to JPEG's rounding -> HW. Raises MapError."""
    spread = int((rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)).max())
    if spread > 2 * NEAR:
        raise MapError(f"the map is coloured (channels differ by {spread}); expected grey")
    return np.ascontiguousarray(rgb[:, :, 1])


def one_plane(values: NDArray[Any]) -> NDArray[Any]:
    """Drop axes of length 1 until two are left. Raises MapError."""
    shape = values.shape
    while values.ndim > 2 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or 0 in shape:
        raise MapError(f"the map has the shape {shape}; expected height x width")
    return values


def flat_levels(grey: U8) -> NDArray[np.int64]:
    """int64 [256]: how many pixels of each grey value lie in a flat 3x3 neighbourhood, where JPEG keeps levels."""
    if min(grey.shape) < 3:
        return np.zeros(256, np.int64)
    tall = np.maximum(np.maximum(grey[:-2], grey[1:-1]), grey[2:])
    low = np.minimum(np.minimum(grey[:-2], grey[1:-1]), grey[2:])
    tall = np.maximum(np.maximum(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:])
    low = np.minimum(np.minimum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    return np.bincount(grey[1:-1, 1:-1][tall - low <= FLAT], minlength=256)


def numbers_from_levels(grey: U8) -> frozenset[int]:
    """The numbers of annotators whose levels explain a map; all of NUMBERS where it says nothing, none if none fits."""
    counts = flat_levels(grey)
    counts[: NEAR + 1] = 0
    marked = int(counts.sum())
    if marked < MIN_FLAT:
        return NUMBERS
    values = np.arange(256)
    fitting = set()
    for number in NUMBERS:
        levels = np.arange(1, number + 1)[:, None] * 255 / number
        near = (np.abs(values - levels) <= NEAR).any(axis=0)
        if counts[~near].sum() <= MAX_ODD * marked:
            fitting.add(number)
    return frozenset(fitting)


def score_scale(scores: Iterable[float]) -> ScoreScale:
    """The scale of all scores of a set together: a lone 1 could be the best of one scale or the worst of the other."""
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        return "unknown"
    low, high = min(finite), max(finite)
    if 0 <= low < 1 and high <= 1:
        return "unit"
    return "1-5" if low >= 1 and 1 < high <= 5 else "unknown"


def numbers_from_scores(scores: Iterable[float], scale: ScoreScale) -> frozenset[int]:
    """The numbers of annotators whose means these scores can be; all of NUMBERS where they say nothing."""
    if scale == "unknown":
        return NUMBERS
    unit = [score if scale == "unit" else (score - 1) / 4 for score in scores if math.isfinite(score)]
    steps = {n: [score * 4 * n for score in unit] for n in NUMBERS}
    return frozenset(n for n in NUMBERS if all(abs(step - round(step)) <= GRANULARITY for step in steps[n]))


def estimate(artifact: frozenset[int], misalignment: frozenset[int], scores: frozenset[int]) -> Annotators:
    """Combine what the three say. One that allows 1 tells nothing (1 divides all); the artifact map goes first.

    Weaker evidence may narrow what stronger evidence leaves open; where it contradicts, it is noted and not followed.
    """
    left: frozenset[int] = NUMBERS
    told: list[str] = []
    against: list[str] = []
    for name, found in (("artifact map", artifact), ("misalignment map", misalignment), ("scores", scores)):
        if 1 in found:
            continue
        if not found:
            against.append(f"{name}: no number up to {max(NUMBERS)} fits")
            if name == "artifact map":
                break
        elif not told or left & found:
            left = found if not told else left & found
            told.append(name)
        else:
            against.append(f"{name}: {' or '.join(map(str, sorted(found)))}")
    number = min(left) if told else 0
    return Annotators(number, " + ".join(told) or "nothing", "; ".join(against))


def marks_needed(number: int, rule: Rule) -> int:
    """Annotators that must have marked a pixel: two thirds of them rounded up, or two whatever their number."""
    return 2 if rule == "two_marks" else -(-2 * number // 3)


def binary_label(grey: U8, number: int, rule: Rule = "two_thirds") -> U8:
    """uint8 HW with 0, 1. The threshold lies midway between two levels; for three annotators it is grey >= 128."""
    return (grey >= (marks_needed(number, rule) - 0.5) * 255 / number).astype(np.uint8)
