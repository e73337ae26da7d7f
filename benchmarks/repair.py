"""Components repaired a second, in batches across pictures against one at a time.

    python -m benchmarks.repair --n 48 --batch 16 --rounds 3 --out out/bench
    python -m benchmarks.repair --shape sd15 --device cuda --n 48 --batch 16 --out out/bench

Both do the same work on the same pictures (wild ones of the embedded world, enlarged to the model's size): see, inpaint
once, see each component again. They take turns in one run, so that what else the machine does falls on both. A shape
stands for a model of that shape with random weights, which cost what trained ones cost.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from applications.repair.blended import BlendedInpainter
from applications.repair.crops import resized
from applications.repair.inpainter import Inpainter, open_inpainter
from applications.repair.loop import Repairer, Work
from applications.repair.options import EMBEDDED, FillOptions, RepairOptions
from benchmarks.report import spread, write_report
from detector.heat import Detector, pick_device
from shards.reader import ShardReader

DETECTOR, SET = "region_select/weights/swin_mini.safetensors", "miniworld/sets/v1/validation"
SHAPES = ("miniworld", "tiny", "sd15", "sd21", "sdxl")


def main() -> None:
    """Command line."""
    args = arguments()
    options = RepairOptions(rounds=1, threshold=0.1, device=args.device)
    inpainter = open_shape(args.shape, args.steps, str(pick_device(args.device)))
    detector = Detector(DETECTOR, device=args.device)
    pictures = load_pictures(args.n, inpainter.size)
    rates: dict[int, list[float]] = {1: [], args.batch: []}
    counts = set()
    for number in range(args.rounds + 1):
        for batch in list(rates) if number % 2 else list(rates)[::-1]:
            repairer = Repairer(detector, inpainter, replace(options, batch=batch))
            # The first turn meets every shape once and does not count.
            works = [replace_work(one) for one in (pictures if number else pictures[: args.batch])]
            began = time.perf_counter()
            repairer(works)
            done = sum(len(work.attempts) for work in works)
            if number:
                rates[batch].append(done / (time.perf_counter() - began))
                counts.add(done)
    ratios = [many / one for many, one in zip(rates[args.batch], rates[1], strict=True)]
    rows: list[dict[str, Any]] = [
        {"name": "one component at a time", "rate": spread(rates[1]), "ratio": 1.0},
        {"name": f"batches of {args.batch}", "rate": spread(rates[args.batch]), "ratio": spread(ratios)},
    ]
    columns = {"name": "", "rate": "components/s", "ratio": "times one at a time"}
    title = f"Repair, {args.shape}, {inpainter.facts['steps']} steps, {args.n} pictures, {args.device}"
    write_report(args.out, "repair", title, columns, rows, components=sorted(counts))


def open_shape(shape: str, steps: int, device: str) -> Inpainter:
    """The embedded generator, or a model of a shape with random weights."""
    fill = FillOptions(steps=steps)
    if shape == "miniworld":
        return open_inpainter(EMBEDDED, options=fill, device=device)
    import torch

    from benchmarks.gpu_ways import Way, make_model

    half = device.startswith("cuda")
    model = make_model(
        shape, Way("repair", vae_half=half, text=False), device, torch.float16 if half else torch.float32
    )
    return BlendedInpainter(model.backbone, fill)


def load_pictures(count: int, side: int) -> list[Work]:
    """Wild pictures with their captions, as large as the model's."""
    reader = ShardReader(SET)
    chosen = [index % len(reader) for index in range(count)]
    return [
        Work(resized(reader.image(index), (side, side)), reader.meta(index).source.caption, str(number))
        for number, index in enumerate(chosen)
    ]


def replace_work(work: Work) -> Work:
    """As it came."""
    return Work(work.before, work.prompt, work.name)


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser("python -m benchmarks.repair", description=(__doc__ or "").partition("\n")[0])
    top.add_argument("--shape", choices=SHAPES, default="miniworld")
    top.add_argument("--n", type=int, default=48, help="pictures (default 48)")
    top.add_argument("--batch", type=int, default=16)
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--steps", type=int, default=20)
    top.add_argument("--device", default="auto")
    top.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    return top.parse_args()


if __name__ == "__main__":
    main()
