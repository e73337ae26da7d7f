"""Components that match, and shares with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.masks import label_components

Mask = NDArray[np.uint8]
MATCH = 0.25
"""Two components match when their overlap is at least this share of the smaller one."""


def components(mask: Mask) -> list[NDArray[np.bool_]]:
    """The 8-connected components of a mask (uint8 HW, 0 or 1), each bool HW."""
    labels, count = label_components(mask)
    return [labels == k for k in range(1, count + 1)]


def matches(predicted: Mask, truth: Mask) -> tuple[int, int, int, int]:
    """Predicted components that match a true one, predicted in all, true ones that are matched, true in all."""
    ours, theirs = components(predicted), components(truth)

    def same(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
        return bool((a & b).sum() >= MATCH * min(a.sum(), b.sum()))

    hit = sum(any(same(p, t) for t in theirs) for p in ours)
    seen = sum(any(same(p, t) for p in ours) for t in theirs)
    return hit, len(ours), seen, len(theirs)


def share(hits: int, total: int) -> dict[str, Any]:
    """A share with its counts and its 95% interval (Wilson 1927); of nothing the interval is 0..1."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, total).proportion_ci(method="wilson") if total else (0.0, 1.0)
    return {
        "hits": hits,
        "of": total,
        "share": round(hits / max(1, total), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def cell(s: dict[str, Any]) -> str:
    """A share with its interval and counts, for a table."""
    return f"{100 * s['share']:.1f}% ({100 * s['low']:.1f} to {100 * s['high']:.1f}; {s['hits']} of {s['of']})"
