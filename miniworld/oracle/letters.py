"""Reading a sign letter by letter: does each cell show the letter that belongs there, or another, or none?

A letter is judged by correlation with drawn glyphs, right way round and mirrored, within one pixel of shift.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from miniworld.world.colours import LIGHT_PAINTS
from miniworld.world.glyphs import GLYPHS, LETTER_STEP, PEN, SYMMETRIC, WORDS, letter_centres, letter_lines
from miniworld.world.raster import Array, Distance, frame, strokes
from miniworld.world.scenes import SIZE, Thing

_PLAIN = 0.9
"""Correlation from which a letter counts as there."""
_TALL = 1.15
"""Half the height of a letter's cell, in units of the sign's size."""


def wrong_letters(picture: Array, sign: Thing, least: float, margin: float) -> NDArray[np.uint8]:
    """HW uint8: 1 over every letter that correlates below `least`, or `margin` worse than another reading.

    picture: float32 HWC, 0..255. Cells that the picture's edge cuts are not judged.
    """
    everything = slice(0, SIZE)
    u, v = frame(sign, everything, everything)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    grey = picture.mean(-1)
    for letter, centre in zip(sign.word, letter_centres(len(sign.word)), strict=True):
        cell = (np.abs(u - centre) < LETTER_STEP / 2) & (np.abs(v) < _TALL)
        if cell.sum() < 0.8 * LETTER_STEP * 2 * _TALL * sign.s**2:
            continue
        right, other = _readings(grey, cell, u - centre, v, sign, letter)
        if right < least or other > right + margin:
            mask[cell] = 1
    return mask


def nearest_word(picture: Array, sign: Thing) -> str:
    """Of the words as long as the sign's, the one most of whose letters are there (then: correlates best)."""
    everything = slice(0, SIZE)
    u, v = frame(sign, everything, everything)
    grey = picture.mean(-1)
    scores = {w: np.zeros(2) for w in WORDS if len(w) == len(sign.word)}
    for k, centre in enumerate(letter_centres(len(sign.word))):
        cell = (np.abs(u - centre) < LETTER_STEP / 2) & (np.abs(v) < _TALL)
        if cell.sum() < 12:
            continue
        read = _scores(grey, cell, u - centre, v, sign)
        for word in scores:
            fits = max(read[word[k], False], read[word[k], True] if word[k] in SYMMETRIC else -1.0)
            scores[word] += (fits >= _PLAIN, fits)
    return max(scores, key=lambda w: (*scores[w], w == sign.word))


def _readings(
    grey: Array, cell: NDArray[np.bool_], u: Array, v: Array, sign: Thing, letter: str
) -> tuple[float, float]:
    """Correlation of a cell with the letter that belongs there, and with the best other reading of it."""
    scores = _scores(grey, cell, u, v, sign)
    right = max(scores[letter, False], scores[letter, True] if letter in SYMMETRIC else -1.0)
    others = [s for (name, mirrored), s in scores.items() if name != letter or (mirrored and letter not in SYMMETRIC)]
    return right, max(others)


def _scores(grey: Array, cell: NDArray[np.bool_], u: Array, v: Array, sign: Thing) -> dict[tuple[str, bool], float]:
    """Correlation of a cell with every glyph, right way round (False) and mirrored (True)."""
    rows, cols = (slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(cell))
    inside = cell[rows, cols]
    shifted = [
        np.roll(grey, (dy, dx), (0, 1))[rows, cols][inside] for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    ]  # the letter's cell moved by up to a pixel
    shown = np.stack([_standard(s) for s in shifted])
    cu, cv = u[rows, cols], v[rows, cols]
    scores: dict[tuple[str, bool], float] = {}
    for name in GLYPHS:
        for mirrored in (False, True):
            want = np.clip(0.5 - _pen(name)(-cu if mirrored else cu, cv) * sign.s, 0, 1)[inside]
            # Ink is lighter or darker than the plate: the sign's own two colours decide, so the sign of r counts.
            scores[name, mirrored] = float(
                np.max(shown @ _standard(want)) if _light_ink(sign) else np.max(shown @ -_standard(want))
            )
    return scores


def _light_ink(sign: Thing) -> bool:
    return sign.paint not in LIGHT_PAINTS


@cache
def _pen(letter: str) -> Distance:
    return strokes(letter_lines(letter, 0.0), PEN)


def _standard(values: Array) -> Array:
    """Zero mean and unit length, so that a dot product is a correlation."""
    centred = values - values.mean()
    return np.asarray(centred / math.sqrt(float(centred @ centred) + 1e-3), dtype=np.float32)
