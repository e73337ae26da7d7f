"""Shards of three arms of the closed world from the same sources, each of which is inverted once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corruptor.line.config import LineConfig
from corruptor.line.shared import make_runs
from experiments.closed_world.plan import FIRST_SEED, MADE, PSEUDO, WILD, Chosen, Plan, line_changes, slug
from shards.build import plain
from shards.config import load_config, make_config


def arm_config(plan: Plan, out: Path, arm: str, chosen: Chosen) -> LineConfig:
    """The line's config of an arm. Raises ConfigError."""
    values = plain(load_config(plan.config, LineConfig, plan.overrides))
    values["source"] = source_of(plan, out)
    values["compute"]["num_threads"] = 1
    for group, change in line_changes(arm, chosen, plan.fallback).items():
        values[group] = {**values[group], **change} if isinstance(change, dict) else change
    if arm == PSEUDO:
        # Masks as labels, nothing injected: the pictures go through all else, as those of the other arms do.
        values["corruption"]["sham"] = True
        values["corruption"]["verification"]["policy"] = "keep"
    return make_config(values, LineConfig)


def source_of(plan: Plan, out: Path) -> dict[str, Any]:
    """The line's `source`. Wild pictures come without their labels."""
    if plan.sources_from == "wild":
        return {"name": "shards", "options": {"where": str(out / WILD), "limit": plan.sources}}
    return {"name": "miniworld", "options": {"count": plan.sources, "first_seed": FIRST_SEED}}


def make_arms(plan: Plan, out: Path, chosen: Chosen, rank: int, num_processes: int) -> None:
    """This process's share of the three arms' shards in OUT/shards/ARM. Raises UserErrors."""
    make_runs(runs_of(plan, out, chosen), rank, num_processes)


def runs_of(plan: Plan, out: Path, chosen: Chosen) -> list[tuple[LineConfig, Path]]:
    """Config and folder of each arm that the line makes. Raises ConfigError."""
    return [(arm_config(plan, out, arm, chosen), arm_folder(out, arm)) for arm in MADE]


def arm_folder(out: Path, arm: str) -> Path:
    """The run folder of an arm."""
    return out / "shards" / slug(arm)
