"""Two trainings of one grid side by side against the same two one after the other: iterations/s of each.

    python -m benchmarks.trainings --iterations 300 --rounds 3 --out out/bench

Each turn runs a grid of one arm and two seeds with `blemish ablate`, once with one process and once with two. A rate is
that of a training's own log from its fiftieth iteration on, so that what a process takes to start is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import spread, write_report

WARM_UP = 50
"""Iterations that are not counted; the log has a line for each fifty."""
GRID = """
title = "Two trainings"
line = "configs/shards/miniworld_once.py"
backbones = [{backbone!r}]
seeds = [0, 1]
iterations = {iterations}
validation = "miniworld/sets/v1/validation"
limit = 20
resamples = 10
detector = ["train_cfg.val_interval=1600"]
tests = dict(clean="miniworld/sets/v1/clean-test")
arms = [dict(name="labels", shards={shards!r})]
"""


def main() -> int:
    """Command line."""
    args = arguments()
    rounds: list[dict[int, list[float]]] = []
    with tempfile.TemporaryDirectory(prefix="blemish-") as folder:
        grid = Path(folder) / "two.py"
        grid.write_text(GRID.format(backbone=args.backbone, iterations=args.iterations, shards=args.shards))
        for number in range(args.rounds):
            # Which way begins alternates, so that a machine that slows down does so for both.
            ways = (1, 2) if number % 2 == 0 else (2, 1)
            done = {way: run(grid, Path(folder) / f"{number}-{way}", way) for way in ways}
            rounds.append(dict(sorted(done.items())))
            print(rounds[-1], flush=True)
    report(args, rounds)
    return 0


def run(grid: Path, out: Path, processes: int) -> list[float]:
    """Iterations/s of both trainings."""
    command = [sys.executable, "-m", "blemish", "ablate", str(grid), "--out", str(out), "--processes", str(processes)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return [rate(path) for path in sorted(out.glob("stages/train-*/train/log.jsonl"))]


def rate(log: Path) -> float:
    """Iterations a second from the fiftieth on. Raises ValueError for a log that is shorter than two lines of it."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    told = [(line["iteration"], line["seconds"]) for line in lines if "loss" in line and line["iteration"] >= WARM_UP]
    if len(told) < 2:
        raise ValueError(f"{log} has {len(told)} lines from iteration {WARM_UP} on; needed: 2, so train for longer")
    (first, began), (last, ended) = told[0], told[-1]
    return float((last - first) / (ended - began))


def report(args: argparse.Namespace, rounds: list[dict[int, list[float]]]) -> None:
    """A row for each way, and the ratio of each round's means."""
    names = {1: "one after the other", 2: "side by side"}
    rows = [
        {"name": names[way], "rate": spread([value for done in rounds for value in done[way]])} for way in rounds[0]
    ]
    ratio: dict[str, Any] = spread([sum(done[2]) / sum(done[1]) for done in rounds])
    title = f"Two trainings: side by side each has {ratio['median']:.2f} ({ratio['q25']:.2f} to {ratio['q75']:.2f})"
    columns = {"name": "", "rate": "iterations/s"}
    write_report(args.out, "trainings", f"{title} of its lone rate", columns, rows, ratio=ratio)


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--backbone", default="swin_mini")
    top.add_argument("--shards", default="miniworld/sets/v1/wild-test", help="what is learned from")
    top.add_argument("--iterations", type=int, default=300)
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    if args.iterations < 2 * WARM_UP:
        top.error(f"--iterations must be at least {2 * WARM_UP}")
    return args


if __name__ == "__main__":
    sys.exit(main())
