"""Images/s of the whole method with random weights, before and after each way to make it faster.

    python -m benchmarks.gpu --shape sd15 sdxl flux_dev --batch 1 8 --gpu h100 --out out/bench
    python -m benchmarks.gpu --device cpu --shape tiny --batch 1 4 --out out/bench

Random weights cost what trained ones cost, so nothing is downloaded. A picture is encoded, inverted, corrupted,
resampled and decoded as in `corruptor.corrupt`. Before: networks as they are, the VAE in float32, a prompt embedded for
each picture, one picture an inversion. Each change is measured by turns with that, so that whatever else the machine
does falls on both. The bound is counted FLOPs of denoiser and VAE over the card's peak, half of it in float32; the
device-busy share is the time in which the device computed, as its own profiler has it, over wall time (n/a on a CPU).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_ways import BEFORE, CHANGES, SIDES, Model, make_model, pictures
from benchmarks.report import spread, write_report
from corruptor.backbone import Backbone
from corruptor.config import CorruptionConfig
from corruptor.corrupt import corrupt
from corruptor.line.cards import GPUS
from corruptor.line.cost import Passes, count_passes
from corruptor.loading import DTYPES
from corruptor.shapes import SHAPES, Flops, count_flops

COLUMNS = {
    "name": "",
    "rate": "images/s",
    "times": "times before",
    "single": "times one image at a time",
    "tflops": "TFLOP/s",
    "bound": "share of the FLOP bound",
    "busy": "device busy",
    "gigabytes": "GB at most",
}


@dataclass
class Turns:
    """One way at one batch size, and what its turns gave."""

    model: Model
    side: int
    batch: int
    rates: list[float] = field(default_factory=list)
    """Images/s."""
    warm: bool = False

    def warm_up(self) -> None:
        """Once: shapes met, kernels chosen, graphs compiled; CUDA graphs are recorded the second time."""
        for _ in range(0 if self.warm else 2 if self.model.backbone.device.type == "cuda" else 1):
            work(self.model, self.side, self.batch)
        self.warm = True

    def take(self, images: int) -> None:
        """One turn of at least so many pictures."""
        calls = max(1, -(-images // (self.batch * self.model.way.variants)))
        synchronise(self.model.backbone)
        began = time.perf_counter()
        for _ in range(calls):
            work(self.model, self.side, self.batch)
        synchronise(self.model.backbone)
        self.rates.append(calls * self.batch * self.model.way.variants / (time.perf_counter() - began))


def main() -> None:
    """Command line."""
    args = arguments()
    torch._dynamo.config.recompile_limit = 64  # a graph for each batch size and each step's shapes
    rows: list[dict[str, Any]] = []
    for name in args.shape:
        rows += measure_shape(name, args)
    title = f"The method with random weights, {args.dtype}, {args.rounds} rounds"
    card = GPUS[args.gpu].name if args.gpu else "none named"
    write_report(args.out, "gpu", title, COLUMNS, rows, peak=card, passes=vars(passes_of(1)))


def passes_of(variants: int) -> Passes:
    """Passes of one source picture with the default method."""
    return count_passes(CorruptionConfig(), variants)


def measure_shape(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one shape: before at each batch size, then each change beside it."""
    side, shape, dtype = args.side or SIDES.get(name, 1024), SHAPES[name], DTYPES[args.dtype]
    flops = count_flops(shape.family, shape.denoiser, shape.vae, side, side)
    base = make_model(name, BEFORE, args.device, dtype)
    before = {batch: Turns(base, side, batch) for batch in args.batch}
    in_turns(list(before.values()), args)
    medians = {batch: spread(one.rates)["median"] for batch, one in before.items()}
    single = {batch: rate / medians[1] if 1 in medians else None for batch, rate in medians.items()}
    rows = [row_of(name, one, flops, args, None, single[batch]) for batch, one in before.items()]
    for change in args.changes:
        changed = make_model(name, CHANGES[change], args.device, dtype)
        for batch in args.batch:
            pair = [Turns(base, side, batch, warm=True), Turns(changed, side, batch)]
            in_turns(pair, args)
            rows.append(row_of(name, pair[1], flops, args, pair[0].rates, single[batch]))
        del changed, pair
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    return rows


def in_turns(settings: Sequence[Turns], args: argparse.Namespace) -> None:
    """All settings in turn, `rounds` times; each begins some rounds."""
    for one in settings:
        one.warm_up()
    for number in range(args.rounds):
        first = number % len(settings)
        for one in [*settings[first:], *settings[:first]]:
            one.take(args.images)


def row_of(
    name: str,
    turns: Turns,
    flops: Flops,
    args: argparse.Namespace,
    before: Sequence[float] | None,
    single: float | None,
) -> dict[str, Any]:
    """The figures of a setting. `before`: rates of the unchanged way beside it, round by round; `single`: how
    many times one image at a time that way is at this batch size."""
    model, rate = turns.model, spread(turns.rates)
    passes, variants = passes_of(model.way.variants), model.way.variants
    denoiser = passes.nfe * flops.denoiser / variants / 1e12
    vae = (passes.encodes * flops.encode + passes.decodes * flops.decode) / variants / 1e12
    peak = GPUS[args.gpu].half_tflops if args.gpu else 0.0
    slow = 1 + (args.dtype == "float32"), 1 + (not model.way.vae_half)
    busy, gigabytes = on_the_card(turns)
    times = spread([one / other for one, other in zip(turns.rates, before, strict=True)]) if before else None
    return {
        "name": f"{name} {turns.side} px, batches of {turns.batch}: {model.way.name}",
        "rate": rate,
        "times": times or "",
        "single": single * (times["median"] if times else 1.0) if single else "n/a",
        "tflops": rate["median"] * (denoiser + vae),
        "bound": rate["median"] * (denoiser * slow[0] + vae * slow[1]) / peak if peak else "n/a",
        "busy": busy,
        "gigabytes": gigabytes,
    }


def work(model: Model, side: int, batch: int) -> Tensor:
    """One batch through the method."""
    images, masks = pictures(side, batch)
    rows = [number for number in range(batch) for _ in range(model.way.variants)]
    model.read_prompts(batch)
    # The threshold and the policy cost nothing on the device; a random model changes everything anyway.
    config, seeds = CorruptionConfig(), list(range(len(rows)))
    return corrupt(model.backbone, images, masks[rows], [""] * batch, seeds, config, rows).images_NHWC


def on_the_card(turns: Turns) -> tuple[float | str, float | str]:
    """Share of wall time in which kernels ran over one batch, and gigabytes at its fullest moment; n/a without."""
    backbone = turns.model.backbone
    if backbone.device.type != "cuda":
        return "n/a", "n/a"
    synchronise(backbone)
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began = time.perf_counter()
        work(turns.model, turns.side, turns.batch)
        synchronise(backbone)
        wall = time.perf_counter() - began
    busy = union_of([(e.time_range.start, e.time_range.end) for e in profile.events()]) / 1e6 / wall
    # What the other model holds meanwhile is not this one's.
    return busy, (torch.cuda.max_memory_allocated() - held) / 1e9 + turns.model.gigabytes


def union_of(spans: Sequence[tuple[float, float]]) -> float:
    """Length that the spans cover together: kernels side by side count once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def synchronise(backbone: Backbone) -> None:
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    top.add_argument("--shape", "--size", nargs="+", choices=SHAPES, default=["sd15", "sdxl", "flux_dev"])
    top.add_argument("--side", type=int, default=0, help="pixels (default the shape's own)")
    top.add_argument("--batch", nargs="+", type=int, default=[1, 8], help="sources at once; 1 is one image at a time")
    top.add_argument("--dtype", choices=DTYPES, default="", help="default bfloat16, float32 on a CPU")
    top.add_argument("--changes", nargs="*", choices=CHANGES, default=list(CHANGES), help="default: all of them")
    top.add_argument("--rounds", type=int, default=3, help="turns of each")
    top.add_argument("--images", type=int, default=32, help="pictures a turn, at least")
    top.add_argument("--gpu", choices=GPUS, default="", help="card whose peak is the bound")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    args.dtype = args.dtype or ("float32" if args.device == "cpu" else "bfloat16")
    return args


if __name__ == "__main__":
    main()
