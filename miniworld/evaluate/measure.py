"""`python -m miniworld figures`: the figures of docs/evidence/miniworld.md, and what other thresholds would give."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from miniworld.evaluate import figures, threshold_candidates
from miniworld.evaluate.counting import MATCH
from miniworld.generator.sample import load_pipeline, round_trip
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes
from shards.pool import open_pool
from shards.progress import progress


@dataclass(frozen=True)
class Plan:
    """What is measured, and on how much. Raises ConfigError (a ValueError) for a number out of range."""

    faults: int
    """Pictures of each kind of drawn fault; 0 leaves them out."""
    clean: int
    """Clean scenes; 0 leaves them out."""
    samples: int
    """Guided samples; 0 leaves them out."""
    first: int
    """Offset into the calibration split."""
    thresholds: bool
    """Instead: what other thresholds of the oracle would mark in the faulty and the clean pictures."""
    processes: int

    def __post_init__(self) -> None:
        for name in ("faults", "clean", "samples", "first", "processes"):
            least = 1 if name == "processes" else 0
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} is {getattr(self, name)}: give a whole number of at least {least}")


def measure(plan: Plan, weights: Path, out: Path | None = None) -> str:
    """Measure, write the figures to `out` as JSON, and return them as Markdown tables.

    Raises MissingInputError without weights, OutputError where `out` cannot be written.
    """
    pipe = load_pipeline(weights)
    with open_pool(plan.processes) as pool:

        def judge(jobs: list[Any], what: str, ask: Callable[[Any], Any] = figures.judge_picture) -> list[Any]:
            asked = pool.imap(ask, jobs, chunksize=4)
            return list(progress(asked, "picture", what, total=len(jobs)))

        found, table = _measure(plan, pipe, judge)
    if out is not None:
        make_folder(out.parent)
        write_bytes(out, (json.dumps(found, indent=1) + "\n").encode())
    return table


def _measure(plan: Plan, pipe: Any, judge: Any) -> tuple[dict[str, Any], str]:
    found: dict[str, Any] = {"match": MATCH, "first": plan.first}
    trip = partial(round_trip, pipe)
    if plan.thresholds:
        ask = partial(judge, ask=threshold_candidates.masks_of)
        found["thresholds"] = threshold_candidates.compare(plan.clean, plan.faults, plan.first, trip, ask)
        return found, threshold_candidates.as_markdown(found["thresholds"])
    if plan.faults:
        found["faults"] = figures.fault_figures(plan.faults, plan.first, trip, judge)
    if plan.clean:
        found["clean"] = figures.clean_figures(plan.clean, plan.first, trip, judge)
    if plan.samples:
        found["samples"] = figures.sample_figures(pipe, plan.samples, plan.first, judge)
    return found, figures.as_markdown(found)
