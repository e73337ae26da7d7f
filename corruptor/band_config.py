"""Options of the band: how different, to a network, a damaged region must look, and how different it may."""

from __future__ import annotations

from dataclasses import dataclass

from corruptor.checks import within

HIGHEST = 2.0
"""Of 1 - cosine."""


@dataclass(frozen=True)
class BandConfig:
    """A component counts as damaged only where its perceptual distance to the twin lies in a band: below it nothing is
    seen, above it another thing was put in place."""

    features: str
    """Whose features are compared: weights of a detector or scene segmenter of ours (.safetensors), or a vision model
    with feature maps that transformers reads, such as facebook/dinov2-small, as a folder or hub id."""

    low: float = 0.0
    """Least distance: 1 - cosine of the features, mean over the network's levels and the component's pixels, 0..2."""

    high: float = HIGHEST
    """Largest distance."""

    revision: str = "main"
    """Of a hub id."""

    sha256: str = ""
    """sha256 of the network's files; a run writes it down, and where it is given, others are refused."""

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError("verification.band.features is empty; name weights of ours, a folder, or a hub id")
        within("verification.band.low", self.low, 0.0, HIGHEST)
        within("verification.band.high", self.high, 0.0, HIGHEST)
        if self.low > self.high:
            raise ValueError(f"verification.band.low is {self.low}, above high, {self.high}: no component could pass")
