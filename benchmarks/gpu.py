"""Images/s of the whole method with random weights, beside the floating-point bound, batch by batch.

    python -m benchmarks.gpu --shape sd15 sdxl --batch 1 4 8 16 --compile --gpu h100 --out out/bench
    python -m benchmarks.gpu --device cpu --shape tiny --batch 1 4 --out out/bench

Random weights cost what trained ones cost, so nothing is downloaded. A picture is encoded, inverted, corrupted,
resampled and decoded as in `corruptor.corrupt`; batches take turns, one image at a time among them, so that whatever
else the machine does falls on all. The bound is counted FLOPs over the card's peak; the device-busy share is the time
in which the device computed, as its own profiler has it, over wall time (n/a on a CPU).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from benchmarks.report import spread, write_report
from corruptor.backbone import Backbone, Conditioning
from corruptor.config import CorruptionConfig
from corruptor.corrupt import corrupt
from corruptor.families.table import FAMILIES
from corruptor.line.cards import GPUS
from corruptor.line.cost import count_passes
from corruptor.loading import DTYPES, Loaded
from corruptor.model_zoo import KNOWN
from corruptor.shapes import SHAPES, Flops, count_flops

SIDES = {"sd15": 512, "sd21": 768, "tiny": 32}
"""Pixels, of shapes that are not run at 1024."""
KNOWN_GRIDS = {known.shape: known.flow for known in KNOWN.values() if known.flow is not None}


@dataclass(frozen=True)
class Setting:
    """One way of running a shape."""

    shape: str
    side: int
    batch: int
    channels_last: bool
    compiled: bool

    @property
    def summary(self) -> str:
        """As a row's name."""
        more = [word for word, on in (("channels_last", self.channels_last), ("compile", self.compiled)) if on]
        return (
            f"{self.shape} {self.side} px, {'one image at a time' if self.batch == 1 else f'batches of {self.batch}'}"
            + (f", {', '.join(more)}" if more else "")
        )


def main() -> None:
    """Command line."""
    args = arguments()
    rows: list[dict[str, Any]] = []
    for name in args.shape:
        side = args.side or SIDES.get(name, 1024)
        shape = SHAPES[name]
        flops = count_flops(shape.family, shape.denoiser, shape.vae, side, side)
        for channels_last in [False, True] if args.channels_last == "both" else [args.channels_last == "on"]:
            for compiled in [False, True] if args.compile else [False]:
                backbone = random_backbone(name, args.device, DTYPES[args.dtype], channels_last, compiled)
                settings = [Setting(name, side, batch, channels_last, compiled) for batch in args.batch]
                rows += measure_all(backbone, settings, flops, args)
                del backbone
    columns = {
        "name": "",
        "rate": "images/s",
        "ratio": "times one image at a time",
        "tflops": "TFLOP/s",
        "bound": "share of the FLOP bound",
        "busy": "device busy",
    }
    title = f"The method with random weights, {args.dtype}, {args.rounds} rounds"
    card = GPUS[args.gpu].name if args.gpu else "none named"
    write_report(args.out, "gpu", title, columns, rows, peak=card, passes=vars(passes_of_one()))


def passes_of_one() -> Any:
    """Passes of one picture with the default method."""
    return count_passes(CorruptionConfig(), 1)


def random_backbone(name: str, device: str, dtype: torch.dtype, channels_last: bool, compiled: bool) -> Backbone:
    """A model of this shape with random weights. Prompts become fixed random numbers: text costs next to nothing."""
    shape = SHAPES[name]
    family = FAMILIES[shape.family]
    with torch.device(device):
        torch.manual_seed(0)
        # Past diffusers' own `to`, which warns of layers that these models do not have.
        networks = {
            part: torch.nn.Module.to(family.models[part].model_class.from_config(dict(config)), dtype=dtype)
            for part, config in ((family.denoiser, shape.denoiser), ("vae", shape.vae))
        }
    layout = torch.channels_last if channels_last else torch.contiguous_format
    parts: dict[str, Any] = {
        part: network.eval().requires_grad_(False).to(memory_format=layout) for part, network in networks.items()
    }
    flow = KNOWN_GRIDS.get(name)
    if flow is None:
        told = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
        parts["scheduler"] = DDIMScheduler(**told)
    blank = family.speak(networks[family.denoiser], family.latents.factor(networks["vae"])).blank_text()

    def embed(parts: Any, prompt: str) -> Conditioning:
        made = torch.Generator().manual_seed(len(prompt))
        return blank.each(lambda value: torch.randn(value.shape, generator=made).to(device))

    row = replace(family, embed_one=embed)
    if flow is not None:
        row = replace(row, schedule_of=lambda parts, num_steps: flow.with_steps(num_steps))
    loaded = Loaded(row, parts, {}, zero_negative=False)
    backbone = Backbone(loaded, torch.device(device), model_id=name)
    if compiled:
        for network in (networks[family.denoiser], networks["vae"].encoder, networks["vae"].decoder):
            network.compile()
    return backbone


def measure_all(
    backbone: Backbone, settings: Sequence[Setting], flops: Flops, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """All batch sizes in turn, `rounds` times; each begins one round once."""
    rates: dict[int, list[float]] = {setting.batch: [] for setting in settings}
    for setting in settings:
        work(backbone, setting)  # shapes met, kernels chosen, graphs compiled
    for number in range(args.rounds):
        first = number % len(settings)
        for setting in [*settings[first:], *settings[:first]]:
            rates[setting.batch].append(one_rate(backbone, setting, args.images))
    passes = passes_of_one()
    each = passes.nfe * flops.denoiser + passes.encodes * flops.encode + passes.decodes * flops.decode
    peak = GPUS[args.gpu].half_tflops if args.gpu else 0.0
    rows = []
    for setting in settings:
        rate = spread(rates[setting.batch])
        tflops = rate["median"] * each / 1e12
        alone = rates.get(1)
        rows.append(
            {
                "name": setting.summary,
                "rate": rate,
                "ratio": rate["median"] / spread(alone)["median"] if alone else "n/a",
                "tflops": tflops,
                "bound": tflops / peak if peak else "n/a",
                "busy": busy_share(backbone, setting),
            }
        )
    return rows


def one_rate(backbone: Backbone, setting: Setting, images: int) -> float:
    """Images/s over at least `images` pictures."""
    calls = max(1, -(-images // setting.batch))
    synchronise(backbone)
    began = time.perf_counter()
    for _ in range(calls):
        work(backbone, setting)
    synchronise(backbone)
    return calls * setting.batch / (time.perf_counter() - began)


def work(backbone: Backbone, setting: Setting) -> Tensor:
    """One batch through the method."""
    side, batch = setting.side, setting.batch
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, side, side, 3), generator=made, dtype=torch.uint8)
    masks = torch.zeros(batch, side, side, dtype=torch.uint8)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    # The threshold and the policy cost nothing on the device; a random model changes everything anyway.
    return corrupt(backbone, images, masks, [""] * batch, list(range(batch)), CorruptionConfig()).images_NHWC


def busy_share(backbone: Backbone, setting: Setting) -> float | str:
    """Share of wall time in which kernels ran, over one batch; n/a without a card."""
    if backbone.device.type != "cuda":
        return "n/a"
    synchronise(backbone)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began = time.perf_counter()
        work(backbone, setting)
        synchronise(backbone)
        wall = time.perf_counter() - began
    return union_of([(e.time_range.start, e.time_range.end) for e in profile.events()]) / 1e6 / wall


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
    top.add_argument("--shape", "--size", nargs="+", choices=SHAPES, default=["sd15", "sdxl"])
    top.add_argument("--side", type=int, default=0, help="pixels (default the shape's own)")
    top.add_argument("--batch", nargs="+", type=int, default=[1, 4, 8, 16], help="1 is one image at a time")
    top.add_argument("--dtype", choices=DTYPES, default="", help="default bfloat16, float32 on a CPU")
    top.add_argument("--channels-last", choices=("off", "on", "both"), default="both")
    top.add_argument("--compile", action="store_true", help="compiled networks as well")
    top.add_argument("--rounds", type=int, default=3, help="turns of each batch size")
    top.add_argument("--images", type=int, default=32, help="pictures a turn, at least")
    top.add_argument("--gpu", choices=GPUS, default="", help="card whose peak is the bound")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    args.dtype = args.dtype or ("float32" if args.device == "cpu" else "bfloat16")
    return args


if __name__ == "__main__":
    main()
