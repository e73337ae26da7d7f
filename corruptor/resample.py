"""Resampling z_t -> z0 with DDIM (Song et al. 2021).

Legend: B images, C latent channels, H and W latent cells. Latents are fp32 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from corruptor.config import ResamplingConfig
from corruptor.noise import draw_noise
from corruptor.renoise import NoisePredictor
from corruptor.schedule import NoiseSchedule


def resample(
    predict_noise: NoisePredictor,
    latents_BCHW: Tensor,
    schedule: NoiseSchedule,
    start_step: int,
    config: ResamplingConfig,
    generators: Sequence[torch.Generator] = (),
    stored: Sequence[Tensor] = (),
    cells_BHW: Tensor | None = None,
) -> Tensor:
    """Denoises latents at `start_step` down to clean latents (Menn et al. eq. 6).

    Args:
        generators: one a sample, used only where config.eta > 0; the outcome does not depend on the batch.
        stored: with config.blend, the trajectory that `renoise.invert` gave for these latents.
        cells_BHW: with config.blend, bool; outside it the stored latents are put back after every step, so that
            the result equals z0 there exactly.
    """
    if config.eta > 0.0 and len(generators) != len(latents_BCHW):
        raise ValueError(f"eta {config.eta} needs one generator a sample, got {len(generators)}")
    if config.blend and (cells_BHW is None or len(stored) != schedule.num_steps - start_step + 1):
        raise ValueError("blend needs the injected cells and the trajectory of the same inversion")
    timesteps = schedule.descending(start_step, config.num_steps)
    targets = (*timesteps[1:], timesteps[-1] - schedule.stride if timesteps else 0)
    latents = latents_BCHW
    for index, (timestep, target) in enumerate(zip(timesteps, targets, strict=False)):
        sigma = schedule.sigma(timestep, target, config.eta)
        a, b = schedule.move(timestep, target, sigma)
        latents = a * latents + b * predict_noise(latents, timestep)
        if sigma > 0.0:
            latents = latents + sigma * draw_noise(generators, latents.shape[1:], latents.device)
        if config.blend and cells_BHW is not None:
            latents = torch.where(cells_BHW[:, None], latents, stored[len(timesteps) - 1 - index])
    return latents
