"""`score`: predictions against truth, both arrays in memory, with the exact counts of `blemish detect score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blemish.inputs import CONVENTIONS, InputError, Masks, planes_of, read_masks
from shards.masks import U8

if TYPE_CHECKING:
    from detector.score.bootstrap import Estimate
    from detector.score.counts import Counts


@dataclass(frozen=True)
class Score:
    """Every metric by its own name. `print(score)` is the table of `blemish detect score`."""

    metrics: Mapping[str, Estimate]
    """Metric -> value (a ratio 0..1, never percent), its 95% interval over pictures, and why where it is None."""
    counts: Counts
    """Integer counts of every picture, from which all of it follows."""
    resamples: int

    def __getitem__(self, name: str) -> float | None:
        """The value of a metric such as `artifact_iou`; None where it is not defined. Raises KeyError."""
        return self.metrics[name].value

    def __str__(self) -> str:
        from detector.score.report import Report, as_markdown

        return as_markdown(Report([self.counts], self.metrics, self.resamples, "scores")).rstrip()


def score(
    predictions: Masks,
    truth: Masks,
    threshold: float = 0.5,
    *,
    truth_values: str = "auto",
    resamples: int = 1000,
) -> Score:
    """Score heat maps or masks against labels.

    Args:
        predictions: one or many, numpy or torch, HW or BHW: floats 0..1 (heat maps), or bool or 0/1 masks; or what a
            `Detector` gave. Of another size than their truth they are resized to it.
        truth: one for each prediction: 0 clean, 1 artifact, 255 ignore; bool; or PIL. `Corrupted.labels` fit.
        threshold: heat from here on is artifact.
        truth_values: what the truth's values mean, as `mask_values` of a Corruptor; auto takes 0, 1 and 255 (ignore),
            and refuses truth with 0 and 255 alone, where 255 may mean artifact.
        resamples: of the bootstrap over pictures that gives the intervals; 0 for none.

    Raises InputError or ScoreError (both ValueErrors), one line.
    """
    from detector.score.bootstrap import summarise
    from detector.score.counts import ScoreError
    from detector.score.pairs import score_pairs

    if resamples < 0:
        raise ScoreError(f"resamples is {resamples}; needed: 0 or more")
    heat = getattr(predictions, "heat", predictions)
    maps = [_prediction(one) for one in planes_of(heat, 1)]
    labels = read_truth(truth, truth_values)
    if len(maps) != len(labels):
        raise InputError(f"{len(maps)} predictions for {len(labels)} truth masks; needed: one each")
    width = len(str(len(maps)))
    counts = score_pairs(
        ((f"{place:0{width}d}", label, one) for place, (label, one) in enumerate(zip(labels, maps, strict=True))),
        threshold,
    )
    return Score(summarise([counts], resamples), counts, resamples)


def read_truth(truth: Masks, values: str) -> Sequence[U8]:
    """Truth as uint8 HW with 0, 1, 255. Raises InputError."""
    planes = planes_of(truth, 1)
    sizes: list[tuple[int, int]] = [(plane.shape[0], plane.shape[1]) for plane in planes]
    if values == "auto":
        found = {int(value) for plane in planes for value in np.unique(plane)}
        if 255 in found and 1 not in found and found <= set(CONVENTIONS["0255"]):
            raise InputError(
                "the truth holds 0 and 255 alone, and 255 may mean artifact or ignore; say which: truth_values='0255' "
                "(255 artifact) or 'blemish' (255 ignore)"
            )
        values = "blemish" if found <= set(CONVENTIONS["blemish"]) else "auto"
    return read_masks(planes, sizes, values)[0]


def _prediction(plane: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers 0 and 1 of any integer type are a mask; all else is for `score_pairs` to judge."""
    if plane.dtype.kind in "ui" and plane.size and plane.min() >= 0 and plane.max() <= 1:
        return plane.astype(np.uint8)
    return plane
