"""The line against the same algorithm one image at a time, and how much of its time the model is at work.

    python -m benchmarks.line --config configs/shards/miniworld_once.py --n 64 --rounds 3 --out out/bench

Both do the same work on the same pictures: equal NFE, equal precision, equal masks and noise; what they make is
compared. They take turns within one run, so that what else the machine does falls on both. "One image at a time" reads,
corrupts, encodes and writes each picture before it turns to the next.

    --single "corruption.inversion={'mode':'renoise'}" --single corruption.injection.start_step=40

makes one image at a time by another config, such as that of ReNoise's own code; then what they make is not compared. On
a machine that does other work too, images per second of the process's CPU time tell more than those per second of the
clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import spread, write_report
from corruptor.backbone import Backbone
from corruptor.line.batch import Batch, Loaded
from corruptor.line.config import LineConfig
from corruptor.line.loader import Loader, load_picture
from corruptor.line.run import Line, open_line, open_model, resolve_compute, run_shards
from shards.arguments import add_overrides
from shards.config import load_config
from shards.reader import ShardReader

RATES = ("images_per_s", "images_per_cpu_s")
MODEL_CALLS = ("encode", "decode", "predict_noise", "embed")


@dataclass
class Stopwatch:
    """Seconds spent inside the model's four calls, and when the first batch was done."""

    backbone: Backbone
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.depth = 0
        for name in MODEL_CALLS:
            setattr(self.backbone, name, self.timed(getattr(self.backbone, name)))

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, its time counted once also where it calls another of the four."""

        def inside(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            began = time.perf_counter()
            try:
                result = call(*args, **kwargs)
                if self.backbone.device.type == "cuda":
                    torch.cuda.synchronize()
                return result
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.perf_counter() - began

        return inside


def main() -> None:
    """Command line."""
    args = arguments()
    overrides = [f"source.options.count={args.n}", *args.overrides] if args.miniworld else args.overrides
    config = resolve_compute(load_config(args.config, LineConfig, overrides))
    single = resolve_compute(load_config(args.config, LineConfig, [*overrides, *args.single]))
    single = replace(single, compute=replace(single.compute, batch_size=1))
    backbone = open_model(config.model, config.compute.device)
    watch = Stopwatch(backbone)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="blemish-") as folder:
        for number in range(args.rounds):
            root = Path(folder) / str(number)
            # Every other round begins with the other one.
            turns = [("line", config, run_line), ("single", single, run_single)]
            result: dict[str, Any] = {}
            for name, its_config, work in turns if number % 2 == 0 else turns[::-1]:
                result[name] = measure(open_line(its_config, root / name, backbone), watch, work)
            result["largest_difference"] = None if args.single else compare(root / "line", root / "single")
            rows.append(result)
            print(result, flush=True)
    report(args.out, rows, config, args.single)


def measure(line: Line, watch: Stopwatch, work: Callable[[Line], None]) -> dict[str, float]:
    """Images/s by the clock and by the process's CPU time, passes and samples an image, and the model's share of the
    time after the first batch."""
    watch.backbone.nfe.reset()
    first: list[float] = []
    make = line.worker.work

    def noted(batch: Batch) -> Any:
        done = make(batch)
        if not first and batch.rows:
            first.extend((time.perf_counter(), watch.seconds))
        return done

    line.worker.work = noted  # type: ignore[method-assign]
    began, cpu_began = time.perf_counter(), time.process_time()
    work(line)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    samples = line.writer.finalise()["samples"]
    num_rows = sum(line.plan.num_rows(shard) for shard in range(line.plan.num_shards))
    return {
        "images_per_s": num_rows / (ended - began),
        "images_per_cpu_s": num_rows / (cpu_ended - cpu_began),
        "yield": samples / num_rows,
        "nfe": watch.backbone.nfe.samples / num_rows,
        "share": (watch.seconds - first[1]) / (ended - first[0]),
    }


def run_line(line: Line) -> None:
    run_shards(line, line.writer.todo())


def run_single(line: Line) -> None:
    """Each picture from file to shard before the next is read."""
    loader = Loader(line.source, line.policy, line.config, line.plan, line.backbone.size_multiple)
    for number in line.writer.todo():
        with line.writer.shard(number) as shard:
            for index in line.plan.indices(number):
                loaded = load_picture(line.source, index, line.config.size, line.backbone.size_multiple)
                if not isinstance(loaded, Loaded):
                    continue
                ready, _ = loader.propose([loaded])
                for sample in line.worker.work(Batch(number, tuple(row for rows in ready for row in rows))).samples:
                    shard.write(sample)


def compare(one: Path, two: Path) -> int:
    """Largest difference of a pixel, 0..255, over all samples; masks must be equal wherever both kept a sample."""
    first, second = ShardReader(one, cache=False), ShardReader(two, cache=False)
    largest = 0
    for index in range(len(first)):
        key = first.key(index)
        other = second.find(key)
        if not np.array_equal(first.mask(index), second.mask(other)):
            print(f"{key}: masks differ (a component's change lies on the threshold)")
        largest = max(largest, int(np.abs(first.image(index).astype(int) - second.image(other)).max()))
    return largest


def report(out: Path, rounds: list[dict[str, Any]], config: LineConfig, changed: Sequence[str]) -> None:
    """One row for each way of working, and the ratio of each round. `changed`: overrides of one image at a time."""
    names = {
        "line": f"the line, batches of {config.compute.batch_size}",
        "single": " ".join(["one image at a time", *changed]),
    }
    rows = [
        {
            "name": names[name],
            "rate": spread([one[name]["images_per_s"] for one in rounds]),
            "cpu_rate": spread([one[name]["images_per_cpu_s"] for one in rounds]),
            "nfe": rounds[0][name]["nfe"],
            "yield": rounds[0][name]["yield"],
            "share": spread([one[name]["share"] for one in rounds]),
        }
        for name in names
    ]
    ratios = {key: [one["line"][key] / one["single"][key] for one in rounds] for key in RATES}
    ratio, cpu_ratio = (spread(ratios[key]) for key in RATES)
    columns = {
        "name": "",
        "rate": "images/s",
        "cpu_rate": "images a second of CPU time",
        "nfe": "NFE an image",
        "yield": "samples an image",
        "share": "share of time inside the model",
    }
    differences = [one["largest_difference"] for one in rounds if one["largest_difference"] is not None]
    largest = max(differences, default=None)
    title = (
        f"The line against one image at a time: {ratio['median']:.2f} times ({ratio['q25']:.2f} to {ratio['q75']:.2f}) "
        f"by the clock, {cpu_ratio['median']:.2f} ({cpu_ratio['q25']:.2f} to {cpu_ratio['q75']:.2f}) by CPU time"
        + (f", pixels within {largest} of 255" if differences else "")
    )
    more = {"ratio": ratio, "cpu_ratio": cpu_ratio, "rounds": rounds, "largest_difference": largest}
    write_report(out, "line", title, columns, rows, **more)


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default="configs/shards/miniworld_once.py")
    add_overrides(top)
    top.add_argument(
        "--single", action="append", default=[], metavar="A.B=V", help="another config of one image at a time"
    )
    top.add_argument("--n", type=int, default=64, help="scenes of the embedded world (default 64)")
    top.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    args.miniworld = not any(text.startswith("source.") for text in args.overrides)
    return args


if __name__ == "__main__":
    main()
