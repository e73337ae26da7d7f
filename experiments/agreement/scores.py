"""What each method says of a folder of pictures: PAR, mean heat; and a score that knows nothing of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from applications.baselines.lookers import KINDS, open_baseline
from applications.seen import open_seen
from detector.heat import Rejecting
from detector.inputs import open_inputs
from detector.predict import Options, predict, predict_with
from shards.errors import ConfigError
from shards.masks import U8
from shards.source import Reject

SIZE = 64
BOUNDARY = 2
"""Of a segmenter: what it rejects in strips narrower than five pixels are outlines (docs/evidence/msr.md)."""
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Method:
    """`kind`: detector, segmenter, or one of `applications.baselines`."""

    kind: str
    name: str
    weights: Path
    threshold: float = 0.5


def read_method(kind: str, text: str) -> Method:
    """`NAME=WEIGHTS` or `NAME=WEIGHTS@THRESHOLD`. Raises ConfigError."""
    name, equals, rest = text.partition("=")
    weights, _, cut = rest.partition("@")
    try:
        threshold = float(cut or 0.5)
    except ValueError:
        threshold = 0.0
    if not equals or not name or not weights or not 0 < threshold < 1:
        raise ConfigError(
            f"--{kind} is {text!r}; give NAME=WEIGHTS, or NAME=WEIGHTS@THRESHOLD with a number between 0 and 1"
        )
    return Method(kind, name, Path(weights), threshold)


def look(method: Method, where: str, out: Path) -> list[tuple[str, Scores]]:
    """Its PAR and its mean heat of each picture, by key. Raises UserErrors."""
    rejects = Rejecting(boundary=BOUNDARY) if method.kind == "segmenter" else None
    options = Options(threshold=method.threshold, overlays=False, device="cpu", rejects=rejects)
    if method.kind in KINDS:
        looker = open_baseline(method.kind, method.weights, SIZE, "cpu")
        predict_with(looker, f"{looker.digest} {method.kind} {SIZE}", where, out, options)
    else:
        predict(method.weights, where, out, options)
    rows = open_seen(out).rows
    return [
        (f"{method.name}: PAR", {row.key: row.par for row in rows}),
        (f"{method.name}: mean heat", {row.key: row.mean for row in rows}),
    ]


def of_pictures(where: str, score: Callable[[U8], float]) -> Scores:
    """A score of each picture by its key."""
    inputs, found = open_inputs(where), {}
    for index in range(len(inputs)):
        stored = inputs.read(index)
        image = stored if isinstance(stored, Reject) else inputs.decode(stored)
        if not isinstance(stored, Reject) and not isinstance(image, Reject):
            found[stored.key] = score(image)
    return found


def sharpness(image: U8) -> float:
    """Variance of the Laplacian of the grey picture."""
    return float(np.var(ndimage.laplace(image.astype(np.float64).mean(-1))))
