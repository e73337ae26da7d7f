"""How well an inversion can be undone, against what it costs: PSNR of the uninjected reconstruction, and NFE.

    python -m benchmarks.psnr_nfe --config configs/shards/miniworld.py --n 32 --out out/bench

The reconstruction is measured against the VAE round trip of the source, so that the VAE's own loss does not count.
Flow-matching models are also inverted by midpoint and FireFlow, and taken back by Euler as in the line, or by the
same solver.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.flow_solvers import midpoint, num_passes
from benchmarks.report import write_report
from corruptor.backbone import Backbone
from corruptor.config import InversionConfig
from corruptor.flow_schedule import FlowSchedule
from corruptor.line.config import LineConfig
from corruptor.line.run import open_model, resolve_compute
from corruptor.renoise import NoisePredictor, invert
from corruptor.resample import resample
from corruptor.schedule import Schedule, num_inversion_passes
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
}
Way = Callable[[NoisePredictor, torch.Tensor, Schedule], torch.Tensor]
"""Latents from one end of a path to the other."""


def main() -> None:
    """Command line."""
    args = arguments()
    config = resolve_compute(load_config(args.config, LineConfig, args.overrides))
    backbone = open_model(config.model, config.compute.device)
    images, prompts = load_images(config, args.n)
    size = (images.shape[1] // backbone.factor, images.shape[2] // backbone.factor)
    schedule = backbone.schedule.with_steps(config.corruption.num_grid_steps).for_size(*size)
    rows = []
    for name, (there, back, passes) in ways(config, schedule).items():
        errors, largest = [], config.compute.batch_size
        for first in range(0, len(images), largest):
            part = slice(first, first + largest)
            errors.append(reconstruct(backbone, images[part], prompts[part], schedule, there, back))
        latent, psnr = (np.concatenate([one[k] for one in errors]) for k in (0, 1))
        rows.append(
            {
                "inversion": name,
                "nfe": passes,
                "psnr": float(np.mean(psnr)),
                "psnr_low": float(np.quantile(psnr, 0.1)),
                "latent_mse": float(np.mean(latent)),
                "latent_psnr": float(np.mean(-10 * np.log10(latent))),
            }
        )
        print(rows[-1], flush=True)
    columns = {
        "inversion": "inversion",
        "nfe": "NFE",
        "psnr": "PSNR, dB (mean)",
        "psnr_low": "PSNR, dB (lowest tenth)",
        "latent_mse": "latent MSE",
        "latent_psnr": "-10 log10 latent MSE (mean)",
    }
    title = f"Reconstruction against cost, start step {config.corruption.start_step}, {len(images)} images"
    write_report(args.out, "psnr_nfe", title, columns, rows, model=config.model.folder)


def ways(config: LineConfig, schedule: Schedule) -> dict[str, tuple[Way, Way, int]]:
    """How to go up, how to come down again, and passes upward; by name."""
    start, how = config.corruption.start_step, replace(config.corruption.resampling, eta=0.0, blend=False)

    def inverted(predict: NoisePredictor, z0: torch.Tensor, on: Schedule, by: InversionConfig) -> torch.Tensor:
        return invert(predict, z0, on, start, by)[-1]

    def sampled(predict: NoisePredictor, z_t: torch.Tensor, on: Schedule) -> torch.Tensor:
        return resample(predict, z_t, on, start, how)

    found: dict[str, tuple[Way, Way, int]] = {}
    for name, options in INVERSIONS.items():
        by = InversionConfig(**options)
        found[name] = (partial(inverted, by=by), sampled, num_inversion_passes(schedule, start, by))
    if isinstance(schedule, FlowSchedule):
        up, down = schedule.upward(start), schedule.downward(start)
        for name, reuse in (("midpoint", False), ("FireFlow", True)):
            there: Way = partial(midpoint, moves=up, reuse=reuse)
            found[f"{name}, back by Euler"] = (there, sampled, num_passes(up, reuse))
            found[f"{name}, back by {name}"] = (
                there,
                partial(midpoint, moves=down, reuse=reuse),
                num_passes(up, reuse),
            )
    return found


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
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
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
    return latent.cpu().numpy(), (10 * torch.log10(255.0**2 / mse)).cpu().numpy()


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default="configs/shards/miniworld.py")
    add_overrides(top)
    top.add_argument("--n", type=int, default=32, help="number of pictures (default 32)")
    top.add_argument("--out", type=Path, required=True)
    return top.parse_args()


if __name__ == "__main__":
    main()
