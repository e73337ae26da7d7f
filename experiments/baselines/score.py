"""Methods on the labelled sets: heat maps, a threshold chosen on one set, figures with intervals on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from applications.baselines.lookers import open_baseline
from detector.checkpoint import fingerprint
from detector.heat import Detector
from detector.predict import Options, predict_with
from detector.score.api import Collector
from detector.score.bootstrap import Estimate, summarise
from detector.score.command import count_all
from detector.score.counts import Counts
from detector.score.counts_io import COUNTS_NAME, load_counts, save_counts
from detector.score.metrics import sum_histograms, threshold_ious
from detector.score.read import PredictionFolder
from detector.score.truth import Truth
from shards.files import make_folder

SIZE = 64
RESAMPLES = 1000
LOOK = Options(overlays=False, batch=32, device="cpu")


@dataclass(frozen=True)
class Row:
    """A method of the table; `kind` as `applications.baselines` names it, `detector` for ours, "" for a whole mask."""

    name: str
    kind: str = ""
    weights: Path = Path()


def look(row: Row, test: Path, out: Path) -> None:
    """Heat maps of a set to OUT, as `blemish baseline` and `blemish detect predict` write them. Raises UserErrors."""
    if row.kind == "detector":
        predict_with(Detector(row.weights, device="cpu"), fingerprint(row.weights), str(test), out, LOOK)
    else:
        looker = open_baseline(row.kind, row.weights, SIZE, "cpu")
        predict_with(looker, f"{looker.digest} {row.kind} {SIZE}", str(test), out, LOOK)


def count(row: Row, test: Path, out: Path, threshold: float) -> Counts:
    """Counts of a method on a set at a threshold; kept below OUT, where they are found again. Raises UserErrors."""
    folder = out / row.name / test.name
    place = folder / f"at-{threshold:.6f}"
    if (place / COUNTS_NAME).exists():
        return load_counts(place)[0]
    truth, collector = Truth([str(test)]), Collector(threshold)
    if row.kind:
        look(row, test, folder / "seen")
        seen = PredictionFolder(folder / "seen")
        (found,) = count_all(truth, [seen], range(len(truth.names)), [collector], None)
    else:
        for index, name in enumerate(truth.names):
            mask = truth.mask(index)
            collector.add(name, mask, np.ones(mask.shape, np.float32))
        found = collector.counts()
    make_folder(place)
    save_counts(place, [found])
    return found


def choose_threshold(counts: Counts) -> float:
    """The threshold above 0 of the largest artifact IoU: the lower edge of a bin of the scores."""
    clean, artifact = sum_histograms(counts, np.ones((1, len(counts.keys))))[0][:, None]
    return (int(threshold_ious(clean, artifact)[0][1:].argmax()) + 0.5) / 255


def score(row: Row, validation: Path, tests: Sequence[Path], out: Path) -> dict[str, Any]:
    """A method's threshold and, by set and metric, its figures. Raises UserErrors."""
    threshold = choose_threshold(count(row, validation, out, 0.5))
    found: dict[str, dict[str, Estimate]] = {}
    for test in tests:
        found[test.name] = summarise([count(row, test, out, threshold)], RESAMPLES, "scores")
    return {"name": row.name, "threshold": threshold, "sets": found}
