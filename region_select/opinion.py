"""What networks see in pictures, as functions, for who may not import detectors: heat, classes, phrases, distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shards.masks import U8


def open_detector(
    where: str, score: str = "", revision: str = "main", device: str = "auto", boundary: int = 0
) -> Callable[[Sequence[U8]], list[NDArray[np.float32]]]:
    """uint8 HWC pictures -> float32 HW of each, 0..1; one picture goes through the network at a time.

    Args:
        where: weights of a detector; with `score` a bare segmenter (detector.rejection.hub), and then `boundary` is the
            radius of the outlines that it drops.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    from detector.heat import Detector, Rejecting
    from region_select.selector import find_weights

    rejects = Rejecting(score, revision=revision, boundary=boundary) if score else None
    detector = Detector(where if rejects else find_weights(where), device=device, rejects=rejects)
    return lambda images: [detector.heat([image])[0] for image in images]


def open_classes(
    where: str, classes: Sequence[str], revision: str = "main", device: str = "auto"
) -> Callable[[Sequence[U8]], list[NDArray[np.float32]]]:
    """uint8 HWC pictures -> float32 HW of each, 0..1: how likely a place is of the classes, the first counting most.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    from detector.rejection.classes import open_classes as opened

    return opened(where, classes, revision, device)


class Finding(Protocol):
    """A phrase at a place."""

    @property
    def phrase(self) -> str: ...
    @property
    def score(self) -> float:
        """0..1."""
        ...

    @property
    def mask(self) -> NDArray[np.bool_]:
        """HW of the picture."""
        ...


def open_finder(
    where: str,
    phrases: Sequence[str],
    least: float,
    revision: str = "main",
    masks: str = "",
    masks_revision: str = "main",
    device: str = "auto",
) -> Callable[[U8], Sequence[Finding]]:
    """uint8 HWC -> where the phrases are, the surest first; see `detector.phrases.open_finder`.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    from detector.phrases import open_finder as opened

    return opened(where, phrases, least, revision, masks, masks_revision, device)


def phrases_digest(where: str, revision: str = "main") -> str:
    """sha256 of the weights that `open_finder` reads. Raises MissingInputError."""
    from detector.phrases import phrases_digest as digest

    return digest(where, revision)


def open_distance(
    where: str, revision: str = "main", device: str = "auto"
) -> Callable[[Sequence[U8], Sequence[U8]], list[NDArray[np.float32]]]:
    """uint8 HWC pictures and their twins -> float32 HW of each pair, 0..2: how different they look to a network.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    from detector.features import open_distance as opened

    return opened(where, revision, device)


def features_digest(where: str, revision: str = "main") -> str:
    """sha256 of the files that `open_distance` reads. Raises MissingInputError."""
    from detector.features import features_digest as digest

    return digest(where, revision)


def detector_digest(where: str, score: str = "", revision: str = "main") -> str:
    """sha256 of the files that `open_detector` reads. Raises MissingInputError."""
    from detector.rejection.hub import find_segmenter, fingerprint_of
    from region_select.selector import find_weights

    return fingerprint_of(find_segmenter(where, revision) if score else find_weights(where))
