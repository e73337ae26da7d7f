"""How the oracle's thresholds were chosen: what each candidate marks in the same clean and faulty pictures.

A picture is explained once; sum and number of pixels of a fault are applied to what is left unexplained afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniworld.evaluate.counting import Mask, cell, matches, share
from miniworld.evaluate.trials import Job, Judge, Trip, blind, clean_jobs, faulty_jobs
from miniworld.oracle.explain import explain
from miniworld.oracle.residue import faults_in
from miniworld.oracle.thresholds import Thresholds
from miniworld.world.faults import FAULT_KINDS
from shards.markdown import table

COLUMNS = (
    "fewest pixels, sum of the excess",
    "clean scenes in which a fault is found",
    "drawn faults found",
    "lowest recall of a kind",
    "marked components that are faults",
)
CANDIDATES = ((4, 110.0), (4, 200.0), (8, 150.0), (12, 150.0), (12, 200.0))
"""Fewest pixels, and least sum of the excess over them."""


def masks_of(job: Job) -> list[Mask]:
    """One mask, uint8 HW of 0 and 1, for each of CANDIDATES."""
    seed, image, scene = job
    said = explain(image, blind(scene, np.random.default_rng(seed)))
    assert said.excess is not None
    assert said.letters is not None
    limits = [replace(Thresholds(), area=area, mass=mass) for area, mass in CANDIDATES]
    return [faults_in(said.excess, one) | said.letters for one in limits]


def compare(clean: int, faults: int, first: int, trip: Trip, judge: Judge) -> dict[str, Any]:
    """Figures of every candidate on `clean` valid scenes and `faults` of each kind of drawn fault."""
    marked = np.zeros(len(CANDIDATES), dtype=int)
    if clean:
        found = judge(clean_jobs(clean, first, trip), "clean scenes")
        marked = np.sum([[bool(mask.any()) for mask in masks] for masks in found], axis=0)
    counts = {}
    for kind in FAULT_KINDS if faults else ():
        jobs, truths = faulty_jobs(kind, faults, first, trip)
        counts[kind] = np.sum(
            [[matches(mask, truth) for mask in masks] for masks, truth in zip(judge(jobs, kind), truths, strict=True)],
            axis=0,
        )
    return {_name(k): _figures(k, int(marked[k]), clean, counts) for k in range(len(CANDIDATES))}


def as_markdown(found: dict[str, Any]) -> str:
    """The figures as a table, the thresholds in use in bold."""
    rows = []
    for name, one in found.items():
        bold = "**" if name == f"{Thresholds().area}, {Thresholds().mass:g}" else ""
        kind, lowest = one.get("lowest recall", ("n/a", share(0, 0)))
        worst = f"{kind.replace('_', ' ')}: {lowest['hits']} of {lowest['of']}"
        rows.append((f"{bold}{name}{bold}", cell(one["clean"]), cell(one["recall"]), worst, cell(one["precision"])))
    return table(COLUMNS, rows) + "\n"


def _name(k: int) -> str:
    area, mass = CANDIDATES[k]
    return f"{area}, {mass:g}"


def _figures(k: int, marked: int, clean: int, counts: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
    own = {kind: [int(n) for n in count[k]] for kind, count in counts.items()}
    hit, ours, seen, theirs = (sum(column) for column in zip(*own.values(), strict=True)) if own else (0, 0, 0, 0)
    told: dict[str, Any] = {"clean": share(marked, clean), "recall": share(seen, theirs), "precision": share(hit, ours)}
    if own:
        worst = min(own, key=lambda kind: own[kind][2] / max(1, own[kind][3]))
        told["lowest recall"] = (worst, share(own[worst][2], own[worst][3]))
    return told
