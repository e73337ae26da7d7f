"""Labels against the oracle's masks pixel by pixel, under several rules of verification. Masks are uint8 HW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corruptor.config import VerificationConfig
from corruptor.verify import verify
from experiments.purity.count import ROUNDS, Mask, Row, ratio
from miniworld.evaluate.counting import share

THRESHOLDS = (14.0, 18.0, 22.0)
"""For components, beside the config's own; of the metric `mean_abs`."""
PIXEL_THRESHOLDS = (8.0, 14.0, 20.0)
"""For the pixels that `tighten` leaves."""


def rules_of(config: VerificationConfig) -> dict[str, VerificationConfig]:
    """Every rule that is counted, by its name."""
    own = {config.threshold} if config.metric == "mean_abs" else set()
    found = {}
    for threshold in sorted({*THRESHOLDS, *own}):
        base = replace(config, metric="mean_abs", threshold=threshold)
        found[f"drop below {threshold:g}"] = replace(base, policy="drop")
        for pixels in sorted({*PIXEL_THRESHOLDS, config.pixel_threshold}):
            name = f"drop below {threshold:g}, tighten to pixels above {pixels:g}"
            found[name] = replace(base, policy="tighten", pixel_threshold=pixels)
    return found


def count_labels(
    picture: NDArray[np.uint8],
    round_trip: NDArray[np.uint8],
    mask: Mask,
    fault: Mask,
    factor: int,
    config: VerificationConfig,
) -> dict[str, tuple[int, int, int]]:
    """By rule: pixels labelled and faulty, labelled and whole, faulty and not labelled. Arguments as of `verify`."""
    found = {}
    for name, rule in rules_of(config).items():
        label = verify(picture, round_trip, mask, factor, rule)[0] == 1
        broken = fault > 0
        found[name] = int((label & broken).sum()), int((label & ~broken).sum()), int((~label & broken).sum())
    return found


def label_figures(rows: Sequence[Row], rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Precision, recall and IoU of the pictures that a rule leaves a label, pixels of all of them pooled."""
    found = []
    for name in rows[0].labels if rows else ():
        kept = [row.labels[name] for row in rows if sum(row.labels[name][:2])]
        hit, extra, missed = (list(one) for one in zip(*kept, strict=True)) if kept else ([], [], [])
        labelled = [a + b for a, b in zip(hit, extra, strict=True)]
        faulty = [a + b for a, b in zip(hit, missed, strict=True)]
        either = [a + b for a, b in zip(labelled, missed, strict=True)]
        found.append(
            {
                "rule": name,
                "pictures_left": share(len(kept), len(rows)),
                "pixels_a_label": float(np.mean(labelled)) if kept else float("nan"),
                "precision": ratio(hit, labelled, rounds),
                "recall": ratio(hit, faulty, rounds),
                "iou": ratio(hit, either, rounds),
            }
        )
    return found
