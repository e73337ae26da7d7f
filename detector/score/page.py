"""OUT/view/index.html of a scoring: truth against prediction, picture by picture, from the worst to the best."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.score.counts import COLUMNS, Counts
from detector.score.eval_size import bring
from detector.score.metrics import image_iou
from detector.score.read import PredictionFolder
from detector.score.truth import Truth
from shards.ahead import ahead
from shards.document import text
from shards.masks import ARTIFACT, IGNORE, U8
from shards.view.gallery import Column, Entry, Gallery, Panel, write_gallery
from shards.view.pictures import LABELS, SIDE, Colour, overlay, thumbnail

VIEW = "view"
MOST = 1000
"""Images on the page, the worst ones, unless another number is asked for."""
THREADS, WAITING, CAPTION = 2, 8, 300
HIT, FALSE, MISSED, IGNORED = 1, 2, 3, 4
ERRORS: dict[int, Colour] = {HIT: (20, 150, 60), FALSE: (230, 30, 40), MISSED: (30, 90, 230), IGNORED: (240, 190, 0)}
PICTURE, TRUTH, PREDICTION, COMPARED, HEAT = range(5)
PANELS = (
    Panel("truth", (PICTURE, TRUTH), shown=True, flip=1),
    Panel("prediction", (PICTURE, PREDICTION), shown=True, flip=0),
    Panel("errors", (PICTURE, COMPARED), flip=3),
    Panel("picture", (PICTURE,), flip=0),
    Panel("scores", (HEAT,), flip=0),
)
COLUMNS_SHOWN = (
    Column("outcome", "found: some of the artifact; missed: none of it; false alarm: on a clean picture", words=True),
    Column("label", "artifact or clean, by the truth", words=True, shown=False),
    Column("wrong", "pixels that are predicted wrong, of those that count", percent=True, plotted=True),
    Column("IoU", "of artifact pixels; 1 where truth and prediction are empty", plotted=True),
    Column("artifact", "artifact pixels of the truth, of those that count", percent=True, shown=False),
    Column("predicted", "predicted artifact pixels, of those that count", percent=True, shown=False),
)


def write_page(
    out: Path, truth: Truth, folder: PredictionFolder, indices: Sequence[int], counts: Counts, most: int = MOST
) -> Path:
    """Write the page of one training seed; returns its path.

    Args:
        folder: settled. indices: of the samples that were scored, in the truth's order. counts: of the same images.

    Raises SchemaError, ScoreError for damaged pictures or predictions, OutputError.
    """
    order = worst_first(counts)[:most]
    places = {truth.names[index]: index for index in indices}
    chosen = [(row, places[counts.keys[row]]) for row in order]
    shown = f"the {len(chosen)} with most wrong pixels of " if len(chosen) < len(counts.keys) else ""
    gallery = Gallery(
        title="Predictions against truth, from the worst to the best",
        columns=COLUMNS_SHOWN,
        panels=PANELS if counts.kind == "scores" else PANELS[:-1],
        unit="images",
        order="worst first",
        above=(
            f"<p>{text(shown)}{len(counts.keys)} images; {text(counts.kind)}, threshold {counts.threshold:g}.</p>",
            "<p>Errors: green found, red false, blue missed, yellow ignored. Point at a panel to see its counterpart; "
            "choose an image to see everything about it.</p>",
        ),
    )
    write_gallery(out / VIEW, gallery, entries(truth, folder, counts, chosen))
    return out / VIEW / "index.html"


def worst_first(counts: Counts) -> list[int]:
    """Rows by the share of wrong pixels, from the largest; equals by key."""
    wrong = shares(counts, counts.hits[:, 1] + counts.hits[:, 2])
    return [int(row) for row in np.argsort(-wrong, kind="stable")]


def shares(counts: Counts, pixels: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [N]: pixels of those that count, 0 where none does."""
    return np.asarray(pixels / np.maximum(counts.valid, 1), np.float64)


def entries(
    truth: Truth, folder: PredictionFolder, counts: Counts, chosen: Sequence[tuple[int, int]]
) -> Iterator[Entry]:
    """One after the other; `chosen`: (row of the counts, index of the truth)."""
    columns = values_of(counts)

    def entry(place: tuple[int, int]) -> Entry:
        row, index = place
        meta = truth.reader.meta(index)
        facts = {**dict(zip(COLUMNS, counts.numbers[row].tolist(), strict=True)), "source": meta.source.uri}
        return Entry(
            key=counts.keys[row],
            values=columns[row],
            pictures=pictures_of(truth, folder, counts, row, index),
            caption=(meta.source.caption or meta.source.uri)[:CAPTION],
            facts=json.dumps(facts, indent=1),
        )

    for _, made in ahead(entry, chosen, THREADS, WAITING, "page"):
        yield made


def values_of(counts: Counts) -> list[tuple[str | float | None, ...]]:
    """The columns of every row."""
    iou = image_iou(counts)
    numbers = [shares(counts, counts.hits[:, 1] + counts.hits[:, 2]), iou]
    numbers += [shares(counts, counts.artifact), shares(counts, counts.predicted)]
    found = []
    for row, (hit, artifact, predicted) in enumerate(
        zip(counts.hits[:, 0], counts.artifact, counts.predicted, strict=True)
    ):
        outcome = ("found" if hit else "missed") if artifact else "false alarm" if predicted else "rightly clean"
        label = "artifact" if artifact else "clean"
        found.append((outcome, label, *(None if np.isnan(one[row]) else float(one[row]) for one in numbers)))
    return found


def pictures_of(
    truth: Truth, folder: PredictionFolder, counts: Counts, row: int, index: int
) -> tuple[tuple[bytes, str] | None, ...]:
    """In the order of PICTURE, TRUTH, .. HEAT, at the truth's size."""
    mask, prediction = truth.mask(index), folder.read(counts.keys[row])
    prediction = bring(prediction, (mask.shape[0], mask.shape[1]))
    scores = counts.kind == "scores"
    predicted = prediction >= counts.threshold if scores else prediction > 0
    return (
        thumbnail(truth.reader.image(index), SIDE),
        overlay(mask, SIDE),
        overlay(predicted.astype(np.uint8), SIDE, {ARTIFACT: LABELS[ARTIFACT]}),
        overlay(compared(mask, predicted), SIDE, ERRORS),
        thumbnail((255 * prediction).round().astype(np.uint8), SIDE) if scores else None,
    )


def compared(mask: U8, predicted: NDArray[np.bool_]) -> U8:
    """uint8 HW: 0 rightly clean, else HIT, FALSE, MISSED, or IGNORED whatever is predicted."""
    found = np.zeros(mask.shape, np.uint8)
    found[predicted] = FALSE
    found[mask == ARTIFACT] = MISSED
    found[(mask == ARTIFACT) & predicted] = HIT
    found[mask == IGNORE] = IGNORED
    return found
