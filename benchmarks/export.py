"""Exports against a plain copy of what they write, and whether their memory grows.

    python -m benchmarks.export --n 10000 --rounds 3 --out out/bench

A run of N samples is put together from the labelled set `validation` (64 x 64 pixels). Each format is exported by its
own command, and then `cp -r` copies the files that it wrote; both end with everything on disk (`sync`), and both begin
with what they read in memory. They take turns, so that what else the machine does falls on both. The rate is that of
the copy to that of the export: 1 means as fast. Peak memory is that of the exporting process, for N and for N / 10
samples.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import spread, write_report
from shards.export.exporters import EXPORTERS
from shards.reader import ShardReader
from shards.writer import RunInfo, RunWriter

LABELS = "miniworld/sets/v1/validation"
ROWS = 500


def write_run(out: Path, count: int) -> None:
    """A finished run of `count` samples; each artifact has a twin, the picture before it."""
    reader = ShardReader(LABELS)
    kinds = [
        ({**reader.members(i), "source.webp": reader.member(max(i - 1, 0), "webp")}, bool((reader.mask(i) == 1).any()))
        for i in range(len(reader))
    ]
    shards = -(-count // ROWS)
    run = RunWriter(out, RunInfo({}, {"name": "benchmark", "items": count}, shards))
    for index in run.todo():
        with run.shard(index) as shard:
            for row in range(min(ROWS, count - index * ROWS)):
                members, artifact = kinds[(index * ROWS + row) % len(kinds)]
                shard.write_members(f"{index:05d}_{row:05d}", members, artifact=artifact)
    run.finalise()


def timed(words: list[str]) -> tuple[float, float]:
    """Seconds until a command and a `sync` are done, and its peak memory in MB."""
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), words)
    os.sync()
    return time.perf_counter() - began, usage.ru_maxrss / 1e3


def export(layout: str, run: Path, out: Path) -> tuple[float, float]:
    """As `timed`, of one export."""
    return timed([sys.executable, "-m", "shards", "export", layout, str(run), "--out", str(out)])


def start_seconds() -> float:
    """Seconds until Python has begun and imported the exporters: no part of a rate."""
    return float(np.median([timed([sys.executable, "-m", "shards", "export", "--help"])[0] for _ in range(3)]))


def measure(layout: str, folder: Path, rounds: int, start: float) -> dict[str, Any]:
    """One row of the table."""
    seconds: dict[str, list[float]] = {"export": [], "copy": []}
    peak = 0.0
    for _ in range(rounds):
        out, copy = folder / "out", folder / "copy"
        taken, peak = export(layout, folder / "run", out)
        seconds["export"].append(taken - start)
        seconds["copy"].append(timed(["cp", "-r", str(out), str(copy)])[0])
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        files = sum(path.is_file() for path in out.rglob("*"))
        shutil.rmtree(out)
        shutil.rmtree(copy)
    _, small = export(layout, folder / "small", folder / "out")
    shutil.rmtree(folder / "out")
    ratios = [copied / made for copied, made in zip(seconds["copy"], seconds["export"], strict=True)]
    return {
        "layout": layout,
        "files": files,
        "megabytes": size / 1e6,
        "export": spread(seconds["export"]),
        "copy": spread(seconds["copy"]),
        "rate": spread(ratios),
        "peak": peak,
        "peak_small": small,
    }


def main() -> int:
    """Write the table. Exit code 0."""
    top = argparse.ArgumentParser("python -m benchmarks.export", description=__doc__.partition("\n")[0])
    top.add_argument("--n", type=int, default=10_000, help="samples (default 10000)")
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--only", nargs="+", choices=EXPORTERS, default=list(EXPORTERS))
    top.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    args = top.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start = start_seconds()
    with tempfile.TemporaryDirectory(dir=args.out) as scratch:
        folder = Path(scratch)
        write_run(folder / "run", args.n)
        write_run(folder / "small", args.n // 10)
        rows = [measure(layout, folder, args.rounds, start) for layout in args.only]
    columns = {
        "layout": "format",
        "files": "files",
        "megabytes": "MB",
        "export": "export, s",
        "copy": "plain copy, s",
        "rate": "rate to the copy's",
        "peak": f"peak MB, {args.n} samples",
        "peak_small": f"{args.n // 10} samples",
    }
    write_report(args.out, "export", "Exports against a plain copy", columns, rows, start_seconds=start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
