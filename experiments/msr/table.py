"""A table of text, and what its cells are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detector.score.bootstrap import Estimate, summarise
from detector.score.counts import Counts
from experiments.msr.arms import Bench
from experiments.msr.plan import Arm, LabelledSet
from experiments.msr.sets import ALL

UNDEFINED = "n/a"
Seen = Mapping[tuple[str, float, str], Counts]
"""Counts by score, threshold and group."""


@dataclass(frozen=True)
class Table:
    """As it is printed."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def frozen(rows: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row) for row in rows)


def percent(one: Estimate | None) -> str:
    """A figure with its interval."""
    if one is None or one.value is None:
        return UNDEFINED
    between = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
    return f"{100 * one.value:.1f}{between}"


def figures(
    bench: Bench, seeds: Sequence[Seen], score: str = "", tau: float | None = None, group: str = ALL
) -> dict[str, Estimate]:
    """Every metric of the scorer over training seeds."""
    chosen = bench.config.threshold if tau is None else tau
    return summarise([seen[score, chosen, group] for seen in seeds], bench.config.resamples, "msr")


def over_seeds(
    bench: Bench, arm: Arm, test: LabelledSet, scores: Sequence[str] = (), taus: Sequence[float] = ()
) -> list[Seen]:
    """What an arm sees in a set, for each training seed."""
    return [bench.seen(bench.open(arm, seed), test, scores, taus) for seed in bench.seeds(arm)]
