"""The line against the same algorithm one image at a time, and how much of its time the model is at work.

    python -m benchmarks.line --config configs/shards/miniworld.py --n 64 --rounds 3 --out out/bench

Both do the same work on the same pictures: equal NFE, equal precision, equal masks and noise; what they make is
compared. They take turns within one run, so that what else the machine does falls on both. "One image at a time" reads,
corrupts, encodes and writes each picture before it turns to the next.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
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
    single = replace(config, compute=replace(config.compute, batch_size=1))
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
            result["largest_difference"] = compare(root / "line", root / "single")
            rows.append(result)
            print(result, flush=True)
    report(args.out, rows, config)


def measure(line: Line, watch: Stopwatch, work: Callable[[Line], None]) -> dict[str, float]:
    """Images/s, NFE an image, and the model's share of the time after the first batch."""
    watch.backbone.nfe.reset()
    first: list[float] = []
    make = line.worker.work

    def noted(batch: Batch) -> Any:
        done = make(batch)
        if not first and batch.rows:
            first.extend((time.perf_counter(), watch.seconds))
        return done

    line.worker.work = noted  # type: ignore[method-assign]
    began = time.perf_counter()
    work(line)
    ended = time.perf_counter()
    line.writer.finalise()
    num_rows = sum(line.plan.num_rows(shard) for shard in range(line.plan.num_shards))
    return {
        "images_per_s": num_rows / (ended - began),
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


def report(out: Path, rounds: list[dict[str, Any]], config: LineConfig) -> None:
    """One row for each way of working, and the ratio of each round."""
    names = {"line": f"the line, batches of {config.compute.batch_size}", "single": "one image at a time"}
    rows = [
        {
            "name": names[name],
            "rate": spread([one[name]["images_per_s"] for one in rounds]),
            "nfe": rounds[0][name]["nfe"],
            "share": spread([one[name]["share"] for one in rounds]),
        }
        for name in names
    ]
    ratio = spread([one["line"]["images_per_s"] / one["single"]["images_per_s"] for one in rounds])
    columns = {"name": "", "rate": "images/s", "nfe": "NFE an image", "share": "share of time inside the model"}
    largest = max(one["largest_difference"] for one in rounds)
    title = (
        f"The line against one image at a time: {ratio['median']:.2f} times "
        f"({ratio['q25']:.2f} to {ratio['q75']:.2f}), "
        f"pixels within {largest} of 255"
    )
    write_report(out, "line", title, columns, rows, ratio=ratio, rounds=rounds, largest_difference=largest)


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default="configs/shards/miniworld.py")
    add_overrides(top)
    top.add_argument("--n", type=int, default=64, help="scenes of the embedded world (default 64)")
    top.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    args.miniworld = not any(text.startswith("source.") for text in args.overrides)
    return args


if __name__ == "__main__":
    main()
