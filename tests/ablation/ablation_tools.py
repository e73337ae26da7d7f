"""A grid of seconds: the tiny pipeline, sixteen scenes, the smallest network, a dozen pictures of each labelled set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ablation.grid import Grid
from shards.config import make_config

sys.path.append(str(Path(__file__).parents[1] / "line"))
from line_tools import make_pipeline  # noqa: F401

SETS = "miniworld/sets/v1"
SHAM = ["corruption.sham=True", "corruption.verification.policy='keep'"]


def grid_values(pipeline: Path, **changes: Any) -> dict[str, Any]:
    """Two arms over the same sources and masks; `changes` replace whole values."""
    values: dict[str, Any] = {
        "title": "Tiny",
        "line": "configs/shards/miniworld_once.py",
        "set": [
            "source.options={'count': 16, 'first_seed': 500000}",
            f"model={{'folder': {str(pipeline)!r}}}",
            "region={'policy': 'blobs', 'options': {'area': [0.05, 0.2]}}",
            "corruption.verification={'policy': 'drop', 'threshold': 0.0}",
            "samples.sources_per_shard=8",
            "samples.misspell=False",
            "compute={'device': 'cpu', 'batch_size': 4}",
        ],
        "backbones": ["probe"],
        "iterations": 4,
        "validation": f"{SETS}/validation",
        "sets": {"labels": f"{SETS}/select"},
        "tests": {"wild": f"{SETS}/wild-test", "clean": f"{SETS}/clean-test"},
        "limit": 12,
        "resamples": 20,
        "arms": [{"name": "masks", "set": SHAM}, {"name": "corrupted"}],
        "compare": [["corrupted", "masks"]],
    }
    return {**values, **changes}


def grid_of(pipeline: Path, **changes: Any) -> Grid:
    return make_config(grid_values(pipeline, **changes), Grid, "tiny")


def write_grid(path: Path, values: dict[str, Any]) -> Path:
    """A grid as the file that it would be."""
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()), encoding="utf-8")
    return path
