"""The figures of `experiments.damage`, of arms over the same scenes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.damage.arms import Row
from experiments.purity.count import ROUNDS, bootstrap, ratio
from experiments.purity.report import percent
from miniworld.evaluate.counting import share
from shards.markdown import table


def figures(rows: Sequence[Row], num_sources: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Yield over all sources; purity over components that are labelled; pixels over pictures that become samples."""
    samples = [row for row in rows if row.is_sample]
    kept = [one for row in samples for one in row.parts if one.kept]
    hit, extra, missed = (np.array([row.label[k] for row in samples], int) for k in range(3))
    return {
        "sources": num_sources,
        "samples": len(samples),
        "yield": share(len(samples), num_sources),
        "components": sum(len(row.parts) for row in rows),
        "kept": share(len(kept), sum(len(row.parts) for row in rows)),
        "purity": share(sum(one.fault for one in kept), len(kept)),
        "precision": ratio(hit.tolist(), (hit + extra).tolist(), rounds),
        "recall": ratio(hit.tolist(), (hit + missed).tolist(), rounds),
        "passes": passes(rows, rounds),
        "tries": float(np.mean([row.num_tries for row in rows])) if rows else float("nan"),
        "nfe": float(np.mean([row.nfe for row in rows])) if rows else float("nan"),
    }


def narrowed(rows: Sequence[Row], least: float = 0.0, low: float = 0.0, high: float = math.inf) -> list[Row]:
    """Rows of an arm without further tries, had its threshold been `least` and its band `low` to `high`.

    Components without a distance lie in every band. What is labelled of a picture that loses some of its components is
    not known, so that of all pictures only whether anything is labelled is told.
    """
    found = []
    for row in rows:
        parts = tuple(
            replace(one, kept=one.kept and one.change >= least and in_band(one.distance, low, high))
            for one in row.parts
        )
        found.append(replace(row, parts=parts, label=(int(any(one.kept for one in parts)), 0, 0)))
    return found


def in_band(distance: float | None, low: float, high: float) -> bool:
    """Whether a distance, if there is one, is neither below nor above."""
    return distance is None or low <= distance <= high


def passes(rows: Sequence[Row], rounds: int) -> dict[str, float]:
    """Noise predictions of all rows, over the rows that became samples; nan without any."""
    nfe, good = np.array([row.nfe for row in rows], float), np.array([row.is_sample for row in rows], float)
    images = np.array([row.image for row in rows], np.int64)
    low, high = bootstrap(
        lambda k: float(nfe[k].sum() / good[k].sum()) if good[k].sum() else float("nan"), images, rounds
    )
    return {"mean": float(nfe.sum() / good.sum()) if good.sum() else float("nan"), "low": low, "high": high}


def markdown(told: Mapping[str, Mapping[str, Any]]) -> str:
    """One row an arm."""
    head = ["arm", "sources that become samples", "labels with a fault", "labelled pixels broken", "passes a sample"]
    lines = []
    for name, one in told.items():
        cost = one["passes"]
        spent = f"{cost['mean']:.1f} ({cost['low']:.1f} to {cost['high']:.1f})"
        pixels = percent(one["precision"]) if one["precision"] else "n/a"
        lines.append([name, percent(one["yield"]), percent(one["purity"]), pixels, spent])
    return table(head, lines)
