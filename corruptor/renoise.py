"""Inversion z0 -> z_t: one pass a step (DDIM, or Euler for flow), ReNoise (Garibi et al. 2024), and ReNoise with a
warm start.

Legend: B images, C latent channels, H and W latent cells. Latents are fp32 throughout.
A step from timestep p up to t solves z_t = a * z_p + b * eps(z_t, t) for z_t by fixed-point iteration: the denoiser
always sees the target timestep t, and every estimate starts again from z_p. What the schedule calls the direction is
called noise here, as in the papers; for flow matching it is the velocity, and a = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from corruptor.config import InversionConfig
from corruptor.noise import forward_noise
from corruptor.regularise import regularise_noise
from corruptor.schedule import Schedule, num_iterations

NoisePredictor = Callable[[Tensor, float], Tensor]
"""(latents_BCHW fp32, timestep) -> predicted noise_BCHW fp32 (velocity, for flow matching)."""


def invert(
    predict_noise: NoisePredictor,
    z0_BCHW: Tensor,
    schedule: Schedule,
    start_step: int,
    config: InversionConfig,
) -> list[Tensor]:
    """Inverts clean latents to `start_step` of the grid (Menn et al. eq. 2).

    Returns the whole trajectory: item k is the latents after k steps, item 0 is z0 itself and the last is z_t;
    item k belongs to grid step num_steps - k. Every sample's result is independent of the rest of its batch.
    """
    trajectory = [z0_BCHW]
    known: list[tuple[float, Tensor]] = []  # timestep and prediction of the steps before
    for index, (before, timestep) in enumerate(schedule.upward(start_step)):
        z_p = trajectory[-1]
        a, b = schedule.move(before, timestep)
        if config.mode == "warm":
            passes = config.warm_passes[min(index, len(config.warm_passes) - 1)]
            guess = a * z_p + b * _expected(known, timestep, config.extrapolate) if known else z_p
            noise = _refine(predict_noise, z_p, guess, timestep, (a, b), passes)
        elif config.mode == "ddim":
            noise = predict_noise(z_p, timestep)
        else:
            noise = _renoise_step(predict_noise, z0_BCHW, z_p, (a, b), timestep, schedule, config)
        trajectory.append(a * z_p + b * noise)
        known = [*known[-1:], (timestep, noise)]
    return trajectory


def _expected(known: Sequence[tuple[float, Tensor]], timestep: float, extrapolate: bool) -> Tensor:
    """What the denoiser will predict at `timestep`, from what it predicted at one or two before."""
    last_timestep, last = known[-1]
    if not extrapolate or len(known) < 2:
        return last
    older_timestep, older = known[0]
    return last + (timestep - last_timestep) / (last_timestep - older_timestep) * (last - older)


def _refine(
    predict_noise: NoisePredictor,
    z_p: Tensor,
    guess: Tensor,
    timestep: float,
    move: tuple[float, float],
    passes: int,
) -> Tensor:
    """Noise prediction after `passes` fixed-point passes from `guess`."""
    a, b = move
    noise = predict_noise(guess, timestep)
    for _ in range(passes - 1):
        noise = predict_noise(a * z_p + b * noise, timestep)
    return noise


def _renoise_step(
    predict_noise: NoisePredictor,
    z0: Tensor,
    z_p: Tensor,
    move: tuple[float, float],
    timestep: float,
    schedule: Schedule,
    config: InversionConfig,
) -> Tensor:
    """The noise that ReNoise (algorithm 1) takes for its final move to `timestep`."""
    low_noise = timestep < config.low_noise_timestep
    first, last = config.average_range_low_noise if low_noise else config.average_range
    a, b = move
    reference = None
    estimate, averaged = z_p, []
    for iteration in range(num_iterations(timestep, config) + 1):
        if config.regularise and iteration == 0:
            noise, reference = _predict_with_reference(predict_noise, z0, estimate, timestep, schedule)
        else:
            noise = predict_noise(estimate, timestep)
        if first <= iteration < last:
            averaged.append(noise)
        if reference is not None and (iteration >= first if config.average else iteration > 0):
            noise = regularise_noise(noise, reference, config)
        estimate = a * z_p + b * noise
    if not (config.average and averaged):
        return noise
    mean = torch.stack(averaged).mean(dim=0)
    return mean if reference is None else regularise_noise(mean, reference, config)


def _predict_with_reference(
    predict_noise: NoisePredictor, z0: Tensor, estimate: Tensor, timestep: float, schedule: Schedule
) -> tuple[Tensor, Tensor]:
    """Predictions on the estimate and on the honestly noised z0, which tells what noise looks like at `timestep`.

    One fixed noise serves every image, so that no result depends on what else is in the batch.
    """
    generator = torch.Generator().manual_seed(0)
    fixed = torch.randn(z0.shape[1:], generator=generator).to(z0.device)
    noised = forward_noise(z0, fixed, schedule.factors(timestep))
    return predict_noise(estimate, timestep), predict_noise(noised, timestep)
