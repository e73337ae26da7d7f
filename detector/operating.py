"""The threshold for a wanted false-alarm rate, found on pictures that are known to be clean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.errors import InputError
from detector.heat import Looker, enlarge
from detector.inputs import Inputs, ShardPictures, open_inputs
from detector.score.counts import F64
from detector.score.operating import threshold_for_fpr
from shards.masks import U8
from shards.progress import Progress
from shards.source import Reject


def choose_threshold(detector: Looker, where: str, rate: float, batch: int = 16) -> tuple[float, int]:
    """Lowest threshold that at most `rate` of the clean pictures in `where` reach, and how many there are.

    A picture reaches a threshold where one pixel of its heat map, at its own size, does: a mask would not be empty.
    Of labelled shards the samples labelled clean are used. Pictures are looked at in groups of `batch`, each held at
    the detector's size.

    Raises MissingInputError, InputError (no clean picture, or one that cannot be used), ScoreError (a rate outside
    0 <= rate < 1, or no threshold is low enough).
    """
    scores = largest_scores(detector, open_inputs(where), where, batch)
    return threshold_for_fpr(scores, rate), len(scores)


def largest_scores(detector: Looker, inputs: Inputs, where: str, batch: int) -> F64:
    """float64 [N]: the largest probability in each clean picture."""
    places = clean_places(inputs)
    if not places:
        raise InputError(f"{where} holds no sample that is labelled clean; name clean pictures or shards with --clean")
    found: list[float] = []
    with Progress(len(places), "picture", "clean pictures") as shown:
        for first in range(0, len(places), batch):
            group = [
                (image.shape, detector.prepare(image)) for image in load(inputs, places[first : first + batch], where)
            ]
            heats = detector.look([small for _, small in group])
            for (shape, _), heat in zip(group, heats, strict=True):
                found.append(float(enlarge(heat, *shape[:2]).max()))
            shown.update(len(group))
    if not np.isfinite(found).all():
        raise InputError(f"a picture in {where} gives a heat that is not finite; remove it, or use other weights")
    return np.array(found, np.float64)


def clean_places(inputs: Inputs) -> list[int]:
    """Positions of pictures to use: all of plain pictures, those labelled clean of shards."""
    if not isinstance(inputs, ShardPictures):
        return list(range(len(inputs)))
    return [place for place in range(len(inputs)) if inputs.reader.meta(place).label == "clean"]


def load(inputs: Inputs, places: list[int], where: str) -> Iterator[U8]:
    """uint8 HWC RGB pictures; one that cannot be read is an error, since leaving it out would move the rate."""
    for place in places:
        stored = inputs.read(place)
        image = stored if isinstance(stored, Reject) else inputs.decode(stored)
        if isinstance(image, Reject):
            raise InputError(f"{image.uri} in {where} cannot be used ({image.reason} {image.detail}); remove it")
        yield image
