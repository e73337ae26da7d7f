"""The numbers above which what is left unexplained of a picture is a fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Frozen on the calibration split; see docs/evidence/miniworld.md."""

    tolerance: float = 29.0
    """Difference, 0..255 units, that still counts as the same colour."""
    inside: float = 15.0
    """The same on things, which have no texture."""
    core: float = 16.0
    """Excess over the tolerance that a component must reach somewhere."""
    mass: float = 150.0
    """Sum of excess over a component's pixels that makes it a fault."""
    area: int = 12
    """Fewest pixels in excess."""
    border: int = 2
    """Width of the picture's rim that is not judged: there the autoencoder blurs."""
    letter: float = 0.88
    """Correlation with the right letter below which a letter is wrong."""
    rival: float = 0.02
    """How much better another letter, or a mirrored one, may correlate before a letter is wrong."""
