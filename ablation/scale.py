"""A trial of a grid: everything smaller by a factor, with fewer seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablation.grid import Grid
from shards.config import parse_override
from shards.errors import ConfigError

FEWEST = 16
"""Pictures, samples and iterations that a trial has at least."""
LOOKED_AT = 1000
"""Of test pictures at full scale."""


def scaled(grid: Grid, scale: float) -> Grid:
    """The grid with numbers of sources, samples, iterations, seeds and test pictures times `scale`.

    Sources are scaled where the grid names their number (source.options.count or limit); iterations where the grid
    does. Raises ConfigError outside 0..1.
    """
    if not 0 < scale <= 1:
        raise ConfigError(f"--scale is {scale}; give a share above 0 and up to 1")
    if scale == 1:
        return grid
    arms = [
        replace(
            arm,
            set=scaled_set(arm.set, scale),
            iterations=fewer(arm.iterations, scale),
            samples=fewer(arm.samples, scale),
        )
        for arm in grid.arms
    ]
    return replace(
        grid,
        arms=tuple(arms),
        set=scaled_set(grid.set, scale),
        iterations=fewer(grid.iterations, scale),
        seeds=grid.seeds[: max(1, round(len(grid.seeds) * scale))],
        made={name: replace(made, count=fewer(made.count, scale)) for name, made in grid.made.items()},
        limit=min(grid.limit or LOOKED_AT, fewer(LOOKED_AT, scale)),
    )


def fewer(count: int, scale: float) -> int:
    """0 stays 0: it means something else."""
    return min(count, max(FEWEST, round(count * scale)))


def scaled_set(changes: Sequence[str], scale: float) -> tuple[str, ...]:
    """Changes to the line, with fewer sources."""
    made = []
    for change in changes:
        path, value = parse_override(change)
        counts = path in (["source", "options", "count"], ["source", "options", "limit"])
        made.append(f"{'.'.join(path)}={fewer(value, scale)}" if counts and isinstance(value, int) else change)
    return tuple(made)
