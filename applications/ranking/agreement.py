"""How often a score prefers the picture that people prefer (PAL, section 4.4 and table 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from applications.tables import Names, TableError, read_csv
from detector.score.bootstrap import Interval, interval_of, resample_weights

TIE = "tie"
RESAMPLES = 2000
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two pictures by their keys, and how much a is preferred: 1, 0, or 0.5 for a tie."""

    a: str
    b: str
    prefers_a: float


@dataclass(frozen=True)
class Agreement:
    """Of one score with the preferences."""

    name: str
    found: Interval
    """Share of the pairs in which it agrees, a tie of either side counted half, with its 95% interval."""
    ties: int
    """Pairs in which the score does not decide."""
    pairs: int


def read_pairs(path: Path, names: Names) -> list[Pair]:
    """Pairs of a CSV with the columns a, b and preferred: the name of either, `a`, `b`, or `tie`.

    Raises MissingInputError, TableError: a picture that is not known, a pair of a picture with itself, a preference
    for neither.
    """
    pairs = []
    for number, row in enumerate(read_csv(path, ("a", "b", "preferred")), 1):
        where = f"{path}, row {number}"
        a, b, said = names.find(row["a"], where), names.find(row["b"], where), row["preferred"]
        if a == b:
            raise TableError(f"{where}: {a} is paired with itself; a pair needs two pictures")
        if said in ("a", row["a"], a):
            prefers = 1.0
        elif said in ("b", row["b"], b):
            prefers = 0.0
        elif said.lower() == TIE:
            prefers = 0.5
        else:
            raise TableError(f"{where}: preferred is {said[:80]!r}; allowed are {row['a']}, {row['b']}, a, b and {TIE}")
        pairs.append(Pair(a, b, prefers))
    return pairs


def agreement(
    name: str, pairs: Sequence[Pair], scores: Mapping[str, float], lower_is_better: bool, resamples: int = RESAMPLES
) -> Agreement:
    """Count one score. Raises TableError where a picture of a pair has none.

    The interval is a bootstrap over groups of pairs that share pictures, since those are not independent.
    """
    missing = sorted({key for pair in pairs for key in (pair.a, pair.b)} - set(scores))
    if missing:
        raise TableError(f"the score {name} is missing for {len(missing)} pictures of the pairs, such as {missing[0]}")
    sign = -1.0 if lower_is_better else 1.0
    gaps = np.array([sign * (scores[pair.a] - scores[pair.b]) for pair in pairs])
    chosen = np.where(gaps == 0, 0.5, gaps > 0)
    wanted = np.array([pair.prefers_a for pair in pairs])
    # Both decided: 1 or 0. One of them undecided: a half.
    hits = np.where((chosen == 0.5) | (wanted == 0.5), 0.5, chosen == wanted).astype(np.float64)
    group = groups_of(pairs)
    sums, sizes = np.bincount(group, hits), np.bincount(group).astype(np.float64)
    drawn = np.zeros(0)
    if len(sums) > 1 and resamples:
        drawn = np.concatenate([w @ sums / (w @ sizes) for w in resample_weights(len(sums), resamples, "agreement")])
    return Agreement(name, interval_of(float(hits.mean()), drawn), int(np.count_nonzero(gaps == 0)), len(pairs))


def groups_of(pairs: Sequence[Pair]) -> NDArray[np.intp]:
    """Number of the group of each pair; pairs that share pictures, also by way of others, are in one."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for pair in pairs:
        parent[root(pair.a)] = root(pair.b)
    return np.unique([root(pair.a) for pair in pairs], return_inverse=True)[1]
