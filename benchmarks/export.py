"""Exports against a plain copy of the same members, and whether their memory grows.

    python -m benchmarks.export --n 10000 --rounds 3 --out out/bench

A run of N samples is put together from the labelled set `validation` (64 x 64 pixels). Each format is exported by its
own command; the plain copy reads the members that the format is made of, sample by sample as `ShardReader` gives them,
and writes each as a file. They take turns, so that what else the machine does falls on both. The rate is the copy's
seconds over the export's, without the second in which Python begins: 1 means as fast. CPU seconds, which wait for
nobody, are told beside them. Peak memory is that of the exporting process, for N and for N / 10 samples.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import spread, write_report
from shards.export.exporters import EXPORTERS
from shards.reader import ShardReader
from shards.writer import RunInfo, RunWriter

LABELS = "miniworld/sets/v1/validation"
ROWS = 500
MEMBERS = {
    "mmseg": ("webp", "mask.png"),
    "coco": ("webp",),
    "anomalib": ("webp", "mask.png"),
    "parquet": ("webp", "mask.png", "source.webp", "json"),
    "dpo": ("webp", "source.webp"),
    "labelstudio": ("webp",),
}
"""Format -> the members whose bytes it holds, in some form."""
PEAK = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
"""A process that was begun by a large one counts that one's memory as its own everywhere else."""
EXPORT = f"""
import sys
from shards.__main__ import main

code = main(sys.argv[1:])
{PEAK}"""
COPY = f"""
import sys
from pathlib import Path
from shards.reader import ShardReader

run, out, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
out.mkdir()
reader = ShardReader(run)
for index in range(len(reader)):
    for name in names:
        (out / (reader.key(index) + "." + name)).write_bytes(reader.member(index, name))
{PEAK}"""


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


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    seconds: float
    cpu: float
    peak: float
    """Megabytes."""

    def without(self, start: Taken) -> Taken:
        """Less what it takes until Python has begun."""
        return Taken(self.seconds - start.seconds, self.cpu - start.cpu, self.peak)


def timed(words: Sequence[str]) -> Taken:
    """Run `python ARGUMENTS` to its end; the last word that it prints is its peak memory in kB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    said = process.stdout.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), words)
    return Taken(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, float(said[-1]) / 1e3)


def export(layout: str, run: Path, out: Path) -> Taken:
    """One export."""
    return timed(["-c", EXPORT, "export", layout, str(run), "--out", str(out)])


def measure(layout: str, folder: Path, rounds: int, start: Taken) -> dict[str, Any]:
    """One row of the table."""
    exports, copies = [], []
    for number in range(rounds):
        out, copy = folder / "out", folder / "copy"
        for is_export in (True, False) if number % 2 else (False, True):
            if is_export:
                exports.append(export(layout, folder / "run", out).without(start))
            else:
                words = ["-c", COPY, str(folder / "run"), str(copy), *MEMBERS[layout]]
                copies.append(timed(words).without(start))
        shutil.rmtree(out)
        shutil.rmtree(copy)
    small = export(layout, folder / "small", folder / "out")
    shutil.rmtree(folder / "out")
    return {
        "layout": layout,
        "export": spread([one.seconds for one in exports]),
        "copy": spread([one.seconds for one in copies]),
        "rate": spread([two.seconds / one.seconds for one, two in zip(exports, copies, strict=True)]),
        "cpu": f"{np.median([one.cpu for one in exports]):.3g} / {np.median([one.cpu for one in copies]):.3g}",
        "peak": f"{max(one.peak for one in exports):.0f} / {small.peak:.0f}",
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
    start = min((timed(["-c", EXPORT, "check", LABELS + "/none"]) for _ in range(3)), key=lambda one: one.seconds)
    with tempfile.TemporaryDirectory(dir=args.out) as scratch:
        folder = Path(scratch)
        write_run(folder / "run", args.n)
        write_run(folder / "small", args.n // 10)
        rows = [measure(layout, folder, args.rounds, start) for layout in args.only]
    columns = {
        "layout": "format",
        "export": "export, s",
        "copy": "plain copy, s",
        "rate": "rate to the copy's",
        "cpu": "CPU s, export / copy",
        "peak": f"peak MB, {args.n} / {args.n // 10} samples",
    }
    write_report(args.out, "export", "Exports against a plain copy", columns, rows, start=asdict(start))
    return 0


if __name__ == "__main__":
    sys.exit(main())
