"""Exports against a plain copy of the same members, and whether their memory grows.

    python -m benchmarks.export --n 10000 --rounds 3 --out out/bench

A run of N samples is put together from the labelled set `validation` (64 x 64 pixels; --scale 8 makes them 512 x 512,
with noise, as large as photographs). Each format is exported by its
own command; the plain copy reads the members that the format is made of, sample by sample as `ShardReader` gives them,
and writes each as a file. They take turns, so that what else the machine does falls on both. The rate is the copy's
seconds over the export's, from when Python has begun: 1 means as fast. CPU seconds, which wait for nobody, are told
beside them. Peak memory is that of the exporting process, for N and for N / 10 samples.
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
TIMED = """
import sys, time
from pathlib import Path
from shards.__main__ import main
from shards.reader import ShardReader

def copy(run, out, names):
    Path(out).mkdir()
    reader = ShardReader(run)
    for index in range(len(reader)):
        for name in names:
            (Path(out) / f"{reader.key(index)}.{name}").write_bytes(reader.member(index, name))

words = sys.argv[1:]
began, used = time.perf_counter(), time.process_time()
code = copy(words[1], words[2], words[3:]) if words[0] == "copy" else main(words)
taken = time.perf_counter() - began, time.process_time() - used
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
    exports, copies = [], []
    for number in range(rounds):
        out, copy = folder / "out", folder / "copy"
        for is_export in (True, False) if number % 2 else (False, True):
            if is_export:
                exports.append(timed("export", layout, folder / "run", "--out", out))
            else:
                copies.append(timed("copy", folder / "run", copy, *MEMBERS[layout]))
        shutil.rmtree(out)
        shutil.rmtree(copy)
    small = timed("export", layout, folder / "small", "--out", folder / "out")
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
        "copy": "plain copy, s",
        "rate": "rate to the copy's",
        "cpu": "CPU s, export / copy",
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
