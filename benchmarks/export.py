"""Exports against plain copies of the same members, and whether their memory grows.

    python -m benchmarks.export --n 10000 --rounds 3 --out out/bench

A run of N samples is put together from the labelled set `validation` (64 x 64 pixels; --scale 8 makes them 512 x 512,
with noise, as large as photographs). Each format is exported by its own command, with as many processes as it takes by
itself and with one. It is measured against two copies of the members that the format is made of:

    copy    in Python, sample by sample as `ShardReader` gives them, each written as a file
    bytes   for formats of many files GNU tar unpacks those members; for tables they go into one file, in Python

They take turns, so that what else the machine does falls on all. A rate is the copy's seconds over the export's, from
when Python has begun: 1 means as fast. CPU seconds, of all processes and waiting for nobody, are told beside them. Peak
memory is that of the exporting process, alone, for N and for N / 10 samples; each process beside it has about as much.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.report import spread, write_report
from shards.export.exporters import EXPORTERS
from shards.reader import ShardReader
from shards.schema import Sample, encode_sample
from shards.writer import RunInfo, RunWriter

LABELS = "miniworld/sets/v1/validation"
ROWS, FEW = 500, 40
"""Samples a shard; kinds of samples, which take turns."""
MEMBERS = {
    "mmseg": ("webp", "mask.png"),
    "coco": ("webp",),
    "anomalib": ("webp", "mask.png"),
    "parquet": ("webp", "mask.png", "source.webp", "json"),
    "dpo": ("webp", "source.webp"),
    "labelstudio": ("webp",),
}
"""Format -> the members whose bytes it holds, in some form."""
TABLES = ("parquet", "dpo")
"""Formats of few large files."""
TIMED = """
import resource, subprocess, sys, time
from pathlib import Path
from shards.__main__ import main
from shards.reader import ShardReader

def copy(run, out, *names):
    Path(out).mkdir()
    reader = ShardReader(run)
    for index in range(len(reader)):
        for name in names:
            (Path(out) / f"{reader.key(index)}.{name}").write_bytes(reader.member(index, name))

def join(run, out, *names):
    reader = ShardReader(run)
    with open(out, "wb") as file:
        for index in range(len(reader)):
            for name in names:
                file.write(reader.member(index, name))

def unpack(run, out, *names):
    Path(out).mkdir()
    # A `*` stands for dots too: with the digit before them, members of twins are not those of pictures.
    wanted = [f"[0-9]*_[0-9]*[0-9].{name}" for name in names]
    for path in ShardReader(run).paths:
        subprocess.run(["tar", "-xf", path, "-C", out, "--wildcards", *wanted], check=True)

def cpu():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

if __name__ == "__main__":
    words = sys.argv[1:]
    work = {"copy": copy, "join": join, "unpack": unpack}.get(words[0])
    began, used = time.perf_counter(), cpu()
    code = work(*words[1:]) if work else main(words)
    taken = time.perf_counter() - began, cpu() - used
    print(*taken, next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
    sys.exit(code)
"""
"""What each process does; it tells its time from when Python has begun, and its own peak memory: what the system says
of a process's children counts the memory of the one that began them as theirs."""


def samples(scale: int) -> list[tuple[dict[str, bytes], bool]]:
    """(members, whether it is an artifact) of each kind of sample; each has a twin, the picture before it."""
    reader = ShardReader(LABELS)
    found: list[tuple[dict[str, bytes], bool]] = []
    for index in range(FEW):
        before, here = reader[max(index - 1, 0)], reader[index]
        if scale > 1:
            before, here = enlarged(before, scale), enlarged(here, scale)
        members = encode_sample(replace(here, source=before.image), "webp")
        found.append((members, here.meta.label == "artifact"))
    return found


def enlarged(sample: Sample, scale: int) -> Sample:
    """A larger sample whose picture does not compress better than a photograph."""
    rng = np.random.default_rng(0)
    size = (scale * sample.image.shape[1], scale * sample.image.shape[0])
    image = np.asarray(Image.fromarray(sample.image).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(image + rng.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
    mask = np.asarray(Image.fromarray(sample.mask).resize(size, Image.Resampling.NEAREST))
    return replace(sample, image=noisy, mask=mask, meta=replace(sample.meta, components=()))


def write_run(out: Path, count: int, scale: int) -> None:
    """A finished run of `count` samples."""
    kinds = samples(scale)
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


def timed(*words: object) -> Taken:
    """One export, or copy, in a process of its own."""
    command = [sys.executable, "-c", TIMED, *map(str, words)]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    seconds, cpu, peak = said.split()[-3:]
    return Taken(float(seconds), float(cpu), float(peak) / 1e3)


def measure(layout: str, folder: Path, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    solid = "join" if layout in TABLES else "unpack"
    export = ("export", layout, folder / "run", "--out", folder / "out")
    copied = (folder / "run", folder / "out", *MEMBERS[layout])
    ways = {
        "export": export,
        "alone": (*export, "--processes", 1),
        "copy": ("copy", *copied),
        "bytes": (solid, *copied),
    }
    took: dict[str, list[Taken]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            took[name].append(timed(*ways[name]))
            remove(folder / "out")
    small = timed("export", layout, folder / "small", "--out", folder / "out")
    remove(folder / "out")

    def rate(way: str, against: str) -> dict[str, float]:
        return spread([two.seconds / one.seconds for one, two in zip(took[way], took[against], strict=True)])

    return {
        "layout": layout,
        **{name: spread([one.seconds for one in took[name]]) for name in ways},
        "rate": rate("export", "copy"),
        "rate_alone": rate("alone", "copy"),
        "rate_bytes": rate("export", "bytes"),
        "cpu": " / ".join(f"{np.median([one.cpu for one in took[name]]):.3g}" for name in ways),
        "peak": f"{max(one.peak for one in took['alone']):.0f} / {small.peak:.0f}",
    }


def remove(path: Path) -> None:
    """A folder or a file."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def main() -> int:
    """Write the table. Exit code 0."""
    top = argparse.ArgumentParser("python -m benchmarks.export", description=__doc__.partition("\n")[0])
    top.add_argument("--n", type=int, default=10_000, help="samples (default 10000)")
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--scale", type=int, default=1, help="pictures so many times as wide and as high (default 1)")
    top.add_argument("--only", nargs="+", choices=EXPORTERS, default=list(EXPORTERS))
    top.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    args = top.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out) as scratch:
        folder = Path(scratch)
        write_run(folder / "run", args.n, args.scale)
        write_run(folder / "small", args.n // 10, args.scale)
        rows = [measure(layout, folder, args.rounds) for layout in args.only]
    columns = {
        "layout": "format",
        "export": "export, s",
        "copy": "copy, s",
        "rate": "rate to the copy's",
        "rate_alone": "of one process",
        "rate_bytes": "rate to bytes alone",
        "cpu": "CPU s: export / one process / copy / bytes alone",
        "peak": f"peak MB, {args.n} / {args.n // 10} samples",
    }
    write_report(
        args.out,
        "export",
        f"Exports of {64 * args.scale} x {64 * args.scale} pixels against a plain copy",
        columns,
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
