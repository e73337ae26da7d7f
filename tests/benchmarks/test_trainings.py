"""The benchmark of trainings: its rates by hand, and its grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation.grid import load_grid
from benchmarks.trainings import GRID, rate


def test_a_rate_leaves_the_beginning_out(tmp_path: Path):
    lines = [{"iteration": 50, "loss": 1.0, "seconds": 20.0}, {"iteration": 100, "loss": 1.0, "seconds": 25.0}]
    lines += [{"iteration": 150, "val/artifact_iou": 0.5}, {"iteration": 150, "loss": 1.0, "seconds": 30.0}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rate(log) == 10.0
    log.write_text(json.dumps(lines[0]))
    with pytest.raises(ValueError, match="has 1 lines from iteration 50 on; needed: 2"):
        rate(log)


def test_its_grid_is_one(tmp_path: Path):
    path = tmp_path / "two.py"
    path.write_text(GRID.format(backbone="swin_mini", iterations=300, shards="miniworld/sets/v1/select"))
    grid = load_grid(path, [])
    assert (grid.seeds, grid.iterations, len(grid.arms)) == ((0, 1), 300, 1)
