"""How well an inversion can be undone, against what it costs: PSNR of the uninjected reconstruction, and NFE.

    python -m benchmarks.psnr_nfe --config configs/shards/miniworld_once.py --n 32 --out out/bench

The reconstruction is measured against the VAE round trip of the source, so that the VAE's own loss does not count.
Flow-matching models are also inverted by Euler, midpoint and FireFlow on grids of as many steps as 13 or 20 passes
allow, and taken back by Euler as in the line, or the way they came.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.flow_solvers import euler, evened, midpoint
from benchmarks.report import write_report
from corruptor.backbone import Backbone
from corruptor.config import CorruptionConfig, InversionConfig
from corruptor.flow_schedule import FlowSchedule
from corruptor.line.config import LineConfig
from corruptor.line.run import open_model, resolve_compute
from corruptor.renoise import NoisePredictor, invert
from corruptor.resample import resample
from corruptor.schedule import Schedule, num_inversion_passes
from detector.score.bootstrap import interval_of, resample_weights
from shards.arguments import add_overrides
from shards.config import load_config
from shards.resize import resize_item
from shards.source import Reject, open_source

INVERSIONS: dict[str, dict[str, Any]] = {
    "ddim (K0)": {"mode": "ddim"},
    "renoise K1 averaged": {"mode": "renoise", "num_renoise_iterations": 1},
    "renoise K1 last": {"mode": "renoise", "num_renoise_iterations": 1, "average": False},
    "renoise K4 averaged": {"mode": "renoise", "num_renoise_iterations": 4},
    "renoise K4 last": {"mode": "renoise", "num_renoise_iterations": 4, "average": False},
    "renoise K9 averaged": {"mode": "renoise", "num_renoise_iterations": 9},
    "renoise K9 last": {"mode": "renoise", "num_renoise_iterations": 9, "average": False},
    "warm 1": {"mode": "warm", "warm_passes": (1,)},
    "warm 2,3,1": {"mode": "warm", "warm_passes": (2, 3, 1)},
    "warm 3,5,2,1 (default)": {"mode": "warm", "warm_passes": (3, 5, 2, 1)},
    "warm 2": {"mode": "warm", "warm_passes": (2,)},
    "warm 3,1 extrapolated": {"mode": "warm", "warm_passes": (3, 1), "extrapolate": True},
    "warm 2,3,1 extrapolated": {"mode": "warm", "warm_passes": (2, 3, 1), "extrapolate": True},
}
REFERENCE = "warm 2,3,1"
"""What every other way's PSNR is compared with, picture by picture."""
BUDGETS = (13, 20)
"""Passes of the flow solvers' own grids, so that all are compared at equal passes."""
COLUMNS = {
    "inversion": "there, and back",
    "nfe": "NFE there",
    "nfe_back": "NFE back",
    "psnr": "PSNR, dB (mean, 95%)",
    "psnr_low": "PSNR, dB (lowest tenth)",
    "ahead": f"dB above {REFERENCE} (95%)",
    "latent_psnr": "-10 log10 latent MSE (mean)",
}
Way = Callable[[NoisePredictor, torch.Tensor, Schedule], torch.Tensor]
"""Latents from one end of a path to the other."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ways:
    """There and back, and the passes of each."""

    there: Way
    back: Way
    nfe: int
    nfe_back: int


def main() -> None:
    """Command line."""
    args = arguments()
    config = resolve_compute(load_config(args.config, LineConfig, args.overrides))
    backbone = open_model(config.model, config.compute.device)
    images, prompts = load_images(config, args.n)
    size = (images.shape[1] // backbone.factor, images.shape[2] // backbone.factor)
    schedule = backbone.schedule.with_steps(config.corruption.num_grid_steps).for_size(*size)
    found: dict[str, tuple[Numbers, Numbers]] = {}
    chosen = ways(config.corruption, schedule)
    for name, way in chosen.items():
        errors, largest = [], config.compute.batch_size
        for first in range(0, len(images), largest):
            part = slice(first, first + largest)
            errors.append(reconstruct(backbone, images[part], prompts[part], schedule, way.there, way.back))
        found[name] = (np.concatenate([one[0] for one in errors]), np.concatenate([one[1] for one in errors]))
        print(name, way.nfe, f"{found[name][1].mean():.2f} dB", flush=True)
    rows = figures(found, {name: (way.nfe, way.nfe_back) for name, way in chosen.items()})
    title = f"Reconstruction against cost, start step {config.corruption.start_step}, {len(images)} images"
    write_report(args.out, "psnr_nfe", title, COLUMNS, rows, model=config.model.folder)


def figures(
    found: Mapping[str, tuple[Numbers, Numbers]], passes: Mapping[str, tuple[int, int]]
) -> list[dict[str, Any]]:
    """Rows of the report. `found`: by name latent MSE and PSNR of each picture, the same pictures in all."""
    reference = found[REFERENCE][1]
    return [
        {
            "inversion": name,
            "nfe": passes[name][0],
            "nfe_back": passes[name][1],
            "psnr": told(psnr, "{:.2f}"),
            "psnr_low": float(np.quantile(psnr, 0.1)),
            "ahead": told(psnr - reference, "{:+.2f}") if name != REFERENCE else "",
            "latent_mse": float(np.mean(latent)),
            "latent_psnr": float(np.mean(-10 * np.log10(latent))),
            "psnr_of_each": psnr.tolist(),
        }
        for name, (latent, psnr) in found.items()
    ]


def told(values: Numbers, form: str) -> str:
    """Mean and 95% interval, drawing pictures with replacement."""
    drawn = [weights @ values / len(values) for weights in resample_weights(len(values), 1000, "psnr_nfe")]
    one = interval_of(float(values.mean()), np.concatenate(drawn))
    return f"{form.format(one.value)} ({form.format(one.low)} to {form.format(one.high)})"


def ways(config: CorruptionConfig, schedule: Schedule) -> dict[str, Ways]:
    """How to go up and how to come down again, by name."""
    start, how = config.start_step, replace(config.resampling, eta=0.0, blend=False)

    def inverted(predict: NoisePredictor, z0: torch.Tensor, on: Schedule, by: InversionConfig) -> torch.Tensor:
        return invert(predict, z0, on, start, by)[-1]

    def sampled(predict: NoisePredictor, z_t: torch.Tensor, on: Schedule) -> torch.Tensor:
        return resample(predict, z_t, on, start, how)

    own = len(schedule.downward(start))
    found: dict[str, Ways] = {}
    for name, options in INVERSIONS.items():
        by = InversionConfig(**options)
        found[name] = Ways(partial(inverted, by=by), sampled, num_inversion_passes(schedule, start, by), own)
    if isinstance(schedule, FlowSchedule):
        up, down = schedule.upward(start), schedule.downward(start)
        for budget in BUDGETS:
            for name, (solve, steps) in solvers(budget).items():
                there: Way = partial(solve, moves=evened(up, steps))
                back: Way = partial(solve, moves=evened(down, steps))
                called, passes = f"{name}, {steps} steps", budget // 2 * 2 if name == "midpoint" else budget
                found[f"{called}, back by the line's Euler"] = Ways(there, sampled, passes, own)
                found[f"{called}, back by itself"] = Ways(there, back, passes, passes)
    return found


def solvers(budget: int) -> dict[str, tuple[Callable[..., torch.Tensor], int]]:
    """Name -> solver, and the steps that it takes for so many passes."""
    return {
        "Euler": (euler, budget),
        "midpoint": (partial(midpoint, reuse=False), budget // 2),
        "FireFlow": (partial(midpoint, reuse=True), budget - 1),
    }


def load_images(config: LineConfig, count: int) -> tuple[torch.Tensor, list[str]]:
    """The first pictures of the source, uint8 BHWC, and their prompts."""
    source = open_source(config.source.name, **config.source.options)
    items = [
        resize_item(one, config.size)
        for one in map(source.__getitem__, range(min(count, len(source))))
        if not isinstance(one, Reject)
    ]
    prompts = [config.samples.prompt_of(item.caption) for item in items]
    return torch.from_numpy(np.stack([item.image for item in items])), prompts


@torch.no_grad()
def reconstruct(
    backbone: Backbone, images: torch.Tensor, prompts: list[str], schedule: Schedule, there: Way, back: Way
) -> tuple[Numbers, Numbers]:
    """Per image: mean squared error of the latents, and PSNR of the pixels against the round trip."""
    conditioning = backbone.embed(prompts)

    def predict(latents: torch.Tensor, timestep: float) -> torch.Tensor:
        return backbone.predict_noise(latents, timestep, conditioning)

    z0 = backbone.encode(images)
    again = back(predict, there(predict, z0, schedule), schedule)
    latent = ((again - z0) ** 2).flatten(1).mean(dim=1).clamp(min=1e-14)
    error = (backbone.decode(again).float() - backbone.decode(z0).float()) ** 2
    # Equal 8-bit pictures have no PSNR; one unit in one value is the least error there is.
    mse = error.flatten(1).mean(dim=1).clamp(min=1.0 / error[0].numel())
    psnr = 10 * torch.log10(255.0**2 / mse)
    return latent.double().cpu().numpy(), psnr.double().cpu().numpy()


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default="configs/shards/miniworld_once.py")
    add_overrides(top)
    top.add_argument("--n", type=int, default=32, help="number of pictures (default 32)")
    top.add_argument("--out", type=Path, required=True)
    return top.parse_args()


if __name__ == "__main__":
    main()
