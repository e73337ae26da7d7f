"""The words of the embedded world, and how their letters are drawn."""

from __future__ import annotations

Line = tuple[tuple[float, float], ...]

# Every sign carries one of these, so that any other lettering is visibly wrong.
WORDS = ("STOP", "TAXI", "OPEN", "EXIT", "CAFE", "BUS", "ZOO", "PUB", "GYM", "ART", "TEA", "ICE")

# Strokes of a letter as polylines in a box: x 0..1 to the right, y 0..1 downwards.
_ROUND = (
    (0.25, 0.0),
    (0.75, 0.0),
    (1.0, 0.25),
    (1.0, 0.75),
    (0.75, 1.0),
    (0.25, 1.0),
    (0.0, 0.75),
    (0.0, 0.25),
    (0.25, 0.0),
)
GLYPHS: dict[str, tuple[Line, ...]] = {
    "A": (((0.0, 1.0), (0.5, 0.0), (1.0, 1.0)), ((0.2, 0.65), (0.8, 0.65))),
    "B": (
        ((0.0, 0.0), (0.0, 1.0), (0.7, 1.0), (1.0, 0.85), (1.0, 0.62), (0.7, 0.48), (0.0, 0.48)),
        ((0.7, 0.48), (0.9, 0.36), (0.9, 0.12), (0.7, 0.0), (0.0, 0.0)),
    ),
    "C": (((1.0, 0.18), (0.75, 0.0), (0.25, 0.0), (0.0, 0.25), (0.0, 0.75), (0.25, 1.0), (0.75, 1.0), (1.0, 0.82)),),
    "E": (((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)), ((0.0, 0.5), (0.8, 0.5))),
    "F": (((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), ((0.0, 0.5), (0.8, 0.5))),
    "G": (
        (
            (1.0, 0.18),
            (0.75, 0.0),
            (0.25, 0.0),
            (0.0, 0.25),
            (0.0, 0.75),
            (0.25, 1.0),
            (0.75, 1.0),
            (1.0, 0.8),
            (1.0, 0.55),
            (0.6, 0.55),
        ),
    ),
    "I": (((0.5, 0.0), (0.5, 1.0)), ((0.2, 0.0), (0.8, 0.0)), ((0.2, 1.0), (0.8, 1.0))),
    "M": (((0.0, 1.0), (0.0, 0.0), (0.5, 0.6), (1.0, 0.0), (1.0, 1.0)),),
    "N": (((0.0, 1.0), (0.0, 0.0), (1.0, 1.0), (1.0, 0.0)),),
    "O": (_ROUND,),
    "P": (((0.0, 1.0), (0.0, 0.0), (0.7, 0.0), (1.0, 0.15), (1.0, 0.42), (0.7, 0.56), (0.0, 0.56)),),
    "R": (
        ((0.0, 1.0), (0.0, 0.0), (0.7, 0.0), (1.0, 0.15), (1.0, 0.38), (0.7, 0.52), (0.0, 0.52)),
        ((0.5, 0.52), (1.0, 1.0)),
    ),
    "S": (
        (
            (1.0, 0.14),
            (0.75, 0.0),
            (0.25, 0.0),
            (0.0, 0.16),
            (0.0, 0.36),
            (0.25, 0.5),
            (0.75, 0.5),
            (1.0, 0.64),
            (1.0, 0.84),
            (0.75, 1.0),
            (0.25, 1.0),
            (0.0, 0.86),
        ),
    ),
    "T": (((0.0, 0.0), (1.0, 0.0)), ((0.5, 0.0), (0.5, 1.0))),
    "U": (((0.0, 0.0), (0.0, 0.75), (0.25, 1.0), (0.75, 1.0), (1.0, 0.75), (1.0, 0.0)),),
    "X": (((0.0, 0.0), (1.0, 1.0)), ((1.0, 0.0), (0.0, 1.0))),
    "Y": (((0.0, 0.0), (0.5, 0.5), (1.0, 0.0)), ((0.5, 0.5), (0.5, 1.0))),
    "Z": (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)),),
}
SYMMETRIC = frozenset("AIMOTUXY")
"""Letters that are their own mirror image."""
LETTER_WIDTH, LETTER_STEP, PEN = 1.02, 1.5, 0.165
"""Width of a letter, from one to the next, and radius of the pen, in half heights of a letter."""


def letter_lines(letter: str, centre: float) -> tuple[Line, ...]:
    """A letter's polylines, two units high, around (centre, 0)."""
    return tuple(
        tuple((centre + (x - 0.5) * LETTER_WIDTH, (y - 0.5) * (2 - 2 * PEN)) for x, y in line)
        for line in GLYPHS[letter]
    )


def letter_centres(count: int) -> list[float]:
    """Where the letters of a word of `count` stand, along the sign's own axis."""
    return [(i - (count - 1) / 2) * LETTER_STEP for i in range(count)]
