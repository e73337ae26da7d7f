"""Pictures by their rank: percentiles of a set, and the best of several of one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detector.maps import Row

PERCENTILES = (0, 25, 50, 75, 100)


def at_percentiles(rows: Sequence[Row], each: int = 4) -> list[tuple[int, list[Row]]]:
    """For each percentile of the ranking the `each` pictures about it, fewer where there are not so many.

    rows: from least to most artifact (PAL, figure 8: 0 is the least).
    """
    found = []
    for percentile in PERCENTILES:
        middle = round(percentile / 100 * (len(rows) - 1))
        start = min(max(middle - (each - 1) // 2, 0), max(len(rows) - each, 0))
        found.append((percentile, list(rows[start : start + each])))
    return found


def by_prompt(rows: Sequence[Row], prompts: Mapping[str, str]) -> dict[str, list[Row]]:
    """Prompt -> its pictures from best to worst, for prompts that have several; in the order of their first picture's
    key. Pictures without a prompt are left out."""
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.key):
        if prompts.get(row.key):
            groups.setdefault(prompts[row.key], []).append(row)
    rank = {row.key: place for place, row in enumerate(rows)}
    return {prompt: sorted(group, key=lambda row: rank[row.key]) for prompt, group in groups.items() if len(group) > 1}
