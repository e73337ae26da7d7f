"""How far scores follow masks under which nothing was injected: counts, AUROC with intervals, verdicts. Pure.

Legend: N sham pictures, M pictures in all (shams and clean ones), S training seeds, B resamples, 256 score bins.
A sham has a mask and no artifact in it; it went through the same making as the pictures a detector was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import DataError
from detector.score.bootstrap import Interval, interval_of, resample_weights
from detector.score.counts import F64, NUM_BINS
from detector.score.metrics import auroc, image_auroc
from shards.markdown import table
from shards.masks import ARTIFACT, IGNORE, U8

LIMIT = 0.52
"""Largest pixel AUROC of a making that does not leak."""
HALF_WIDTH = 0.02
"""Largest half-width of its interval: a wider one proves nothing."""
MOST_OTHERS = 16
"""Other pictures' masks that each picture is held against."""
DEFAULT, CAUGHT = (False, False), (True, True)
"""(paste-back, raw negatives): the making that must not leak, and the one that must be caught."""
NAMES = {
    (False, False): "default",
    (False, True): "raw negatives",
    (True, False): "paste-back",
    (True, True): "paste-back, raw negatives",
}


def folder_name(switches: tuple[bool, bool]) -> str:
    """A making's name as a folder."""
    return NAMES[switches].replace(", ", "-").replace(" ", "-")


@dataclass(frozen=True)
class Seen:
    """What one detector saw in the pictures of one making."""

    own: NDArray[np.int64]
    """int64 [N, 2, 256]: pixels of each sham by its own mask (0 outside, 1 inside) and score bin."""
    others: NDArray[np.int64]
    """The same under the masks of other shams, added up."""
    mean: F64
    """float64 [M]: mean score of each picture, 0..1."""
    masked: NDArray[np.bool_]
    """bool [M]: whether the picture is a sham (True) or clean (False)."""


@dataclass(frozen=True)
class Finding:
    """One making, the mean over its training seeds."""

    paste_back: bool
    raw_negatives: bool
    plain: Interval
    """AUROC of scores against the pictures' own masks."""
    prior: Interval
    """The same against other pictures' masks: what is known from a mask's usual place alone."""
    pixel: Interval
    """1/2 + plain - prior, resampled together: what the making itself gives away."""
    image: Interval
    """AUROC of the mean score, shams against the making's clean pictures."""
    seeds: int
    shams: int
    clean: int
    trained_on: int
    """Samples that the detectors were trained on."""

    @property
    def name(self) -> str:
        return NAMES[self.paste_back, self.raw_negatives]

    @property
    def verdict(self) -> str:
        """`leaks`, `no leak` or `open` (the interval is too wide to tell, or there is none), by pixels."""
        if self.pixel.value is None or self.pixel.low is None:
            return "open"
        if self.pixel.low > LIMIT:
            return "leaks"
        return "no leak" if self.pixel.value <= LIMIT and self.pixel.half_width <= HALF_WIDTH else "open"

    @property
    def image_verdict(self) -> str:
        """Whether whole pictures are told apart by their making."""
        return "leaks" if self.image.low is not None and self.image.low > LIMIT else "not shown"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"making": self.name, **asdict(self), "verdict": self.verdict, "image_verdict": self.image_verdict}


def count(heats: Sequence[U8], masks: Sequence[U8]) -> Seen:
    """Count one detector's scores.

    Args:
        heats: uint8 HW, round(255 * score). masks: uint8 HW with 0, 1, 255; a picture without 1 is a clean one.

    Raises DataError for fewer than two shams, or shams of different sizes.
    """
    places = [i for i, mask in enumerate(masks) if (mask == ARTIFACT).any()]
    if len(places) < 2:
        raise DataError(f"{len(places)} sham pictures with a mask; at least 2 are needed to hold each against another")
    shapes = {masks[i].shape for i in places}
    if len(shapes) > 1:
        raise DataError(f"sham pictures of {len(shapes)} sizes; make them of one size (size.policy crop or pad)")
    shifts = range(1, min(MOST_OTHERS, len(places) - 1) + 1)
    own = [by_mask(heats[i], masks[i]) for i in places]
    others = [
        sum((by_mask(heats[i], masks[places[(at + shift) % len(places)]]) for shift in shifts), np.int64(0))
        for at, i in enumerate(places)
    ]
    mean = np.array([float(heat.mean(dtype=np.float64)) / 255 for heat in heats])
    masked = np.zeros(len(masks), bool)
    masked[places] = True
    return Seen(np.stack(own), np.stack(others), mean, masked)


def by_mask(heat: U8, mask: U8) -> NDArray[np.int64]:
    """uint8 HW twice -> int64 [2, 256]: pixels outside and inside the mask by score; ignored ones in neither."""
    counts = mask != IGNORE
    bins = heat[counts].astype(np.intp) + NUM_BINS * (mask[counts] == ARTIFACT)
    return np.bincount(bins, minlength=2 * NUM_BINS).reshape(2, NUM_BINS)


def judge(making: tuple[bool, bool], seen: Sequence[Seen], trained_on: int, resamples: int, seed: str) -> Finding:
    """One making's figures from its training seeds, all of which saw the same pictures.

    Pixel figures resample shams; the image figure resamples all pictures.
    """
    first = seen[0]
    whole = np.ones((1, len(first.own)))
    point = pixel_aurocs(seen, whole)[:, 0]
    drawn = np.concatenate([pixel_aurocs(seen, w) for w in resample_weights(len(first.own), resamples, seed)], axis=1)
    plain, prior, pixel = (interval_of(value, row) for value, row in zip(point, drawn, strict=True))
    image_point = image_aurocs(seen, np.ones((1, len(first.mean))))[0]
    chunks = [image_aurocs(seen, w) for w in resample_weights(len(first.mean), resamples, seed)]
    image = interval_of(image_point, np.concatenate(chunks))
    shams = int(first.masked.sum())
    clean = len(first.masked) - shams
    return Finding(*making, plain, prior, pixel, image, len(seen), shams, clean, trained_on)


def pixel_aurocs(seen: Sequence[Seen], weights: F64) -> F64:
    """float64 [3, B]: against own masks, against others' masks, and 1/2 plus the difference; means over seeds."""
    both = []
    for name in ("own", "others"):
        each = []
        for one in seen:
            counts = getattr(one, name).reshape(len(one.own), -1).astype(np.float64)
            histogram = (weights @ counts).reshape(-1, 2, NUM_BINS)
            each.append(auroc(histogram[:, 0], histogram[:, 1]))
        both.append(np.mean(each, axis=0))
    return np.stack([*both, 0.5 + both[0] - both[1]])


def image_aurocs(seen: Sequence[Seen], weights: F64) -> F64:
    """float64 [B]: shams against clean pictures by their mean score, mean over seeds; NaN without clean pictures."""
    return np.asarray(np.mean([image_auroc(weights, one.mean, one.masked) for one in seen], axis=0))


def conclusion(findings: Sequence[Finding]) -> tuple[bool, list[str]]:
    """Whether the check holds, and its sentences: the default must not leak, and the leak made on purpose be caught."""
    by_making = {(one.paste_back, one.raw_negatives): one for one in findings}
    words, holds = [], True
    for making, wanted in ((DEFAULT, "no leak"), (CAUGHT, "leaks")):
        found = by_making.get(making)
        if found is None:
            words.append(f"The making '{NAMES[making]}' was not given: nothing is said of it.")
            holds = False
            continue
        good = found.verdict == wanted and (wanted == "leaks" or found.image_verdict != "leaks")
        holds = holds and good
        told = f"'{found.name}' had to come out as '{wanted}' and came out as '{found.verdict}'"
        told += " by pixels, and 'leaks' by pictures" if found.image_verdict == "leaks" and wanted != "leaks" else ""
        words.append(f"{told}: {'as it must be' if good else 'the check fails'}.")
    return holds, words


def as_markdown(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """The table, the conclusion and the notes."""
    columns = ["making", "pixel AUROC", "against own masks", "against others' masks", "image AUROC"]
    columns += ["shams / clean", "seeds", "by pixels", "by pictures"]
    rows = [
        [
            one.name,
            *(cell(getattr(one, name)) for name in ("pixel", "plain", "prior", "image")),
            *(f"{one.shams} / {one.clean}", str(one.seeds), one.verdict, one.image_verdict),
        ]
        for one in findings
    ]
    _, words = conclusion(findings)
    return "\n\n".join([table(columns, rows, aligned=True), "\n".join(f"- {text}" for text in (*words, *notes))]) + "\n"


def cell(one: Interval) -> str:
    """ "0.503 (0.491 to 0.515)"."""
    if one.value is None:
        return "n/a"
    return f"{one.value:.3f}" if one.low is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
