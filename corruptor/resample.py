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
    moves = list(zip(timesteps, targets, strict=False))
    sigmas = [schedule.sigma(timestep, target, config.eta) for timestep, target in moves]
    factors = [step_factors(schedule, *move, sigma) for move, sigma in zip(moves, sigmas, strict=True)]
    latents = latents_BCHW
    for index, timestep in enumerate(timesteps):
        sigma, (noise, signal, next_signal, next_noise) = sigmas[index], factors[index]
        eps = predict_noise(latents, timestep)
        latents = next_signal * ((latents - noise * eps) / signal) + next_noise * eps
        if sigma > 0.0:
            latents = latents + sigma * draw_noise(generators, latents.shape[1:], latents.device)
        if config.blend and cells_BHW is not None:
            latents = torch.where(cells_BHW[:, None], latents, stored[len(timesteps) - 1 - index])
    return latents


def step_factors(
    schedule: NoiseSchedule, timestep: int, target: int, sigma: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """sqrt(1 - abar_t), sqrt(abar_t), sqrt(abar_target), sqrt(1 - abar_target - sigma^2) of a DDIM step (eq. 12).

    In single precision by way of torch, whose powers are not always the nearest float: with the same factors and the
    same order of operations a step gives the bits that diffusers' sampler gives. Tensors without dimensions on the CPU,
    which multiply tensors of any device and are never read back.
    """
    abar = torch.tensor([schedule.abar_at(timestep), schedule.abar_at(target)])
    squares = (1 - abar[0], abar[0], abar[1], (1 - abar[1] - sigma**2).clamp(min=0))
    noise, signal, next_signal, next_noise = (square**0.5 for square in squares)
    return noise, signal, next_signal, next_noise
