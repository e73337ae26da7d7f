"""Resampling z_t -> z0 with the schedule's sampler: DDIM (Song et al. 2021), or Euler for flow matching.

Legend: B images, C latent channels, H and W latent cells. Latents are fp32 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from corruptor.config import ResamplingConfig
from corruptor.noise import draw_noise
from corruptor.renoise import NoisePredictor
from corruptor.schedule import Schedule


@dataclass(frozen=True)
class Later:
    """What is injected on the way, at a weaker start step than that of the resampling."""

    cells_BHW: Tensor
    """bool."""
    latents_BCHW: Tensor
    """What takes their place; other cells are not looked at."""


def resample(
    predict_noise: NoisePredictor,
    latents_BCHW: Tensor,
    schedule: Schedule,
    start_step: int,
    config: ResamplingConfig,
    generators: Sequence[torch.Generator] = (),
    stored: Sequence[Tensor] = (),
    cells_BHW: Tensor | None = None,
    later: Mapping[int, Later] | None = None,
) -> Tensor:
    """Denoises latents at `start_step` down to clean latents (Menn et al. eq. 6).

    Args:
        generators: one a sample, used only where config.eta > 0; the outcome does not depend on the batch.
        stored: with config.blend, the trajectory that `renoise.invert` gave for these latents.
        cells_BHW: with config.blend, bool; outside it the stored latents are put back after every step, so that
            the result equals z0 there exactly.
        later: by the number of steps taken until then, what is injected before the next one; with config.blend its
            cells belong to those put back before and not after it. Needs config.num_steps 0.
    """
    if config.eta > 0.0 and len(generators) != len(latents_BCHW):
        raise ValueError(f"eta {config.eta} needs one generator a sample, got {len(generators)}")
    if config.blend and (cells_BHW is None or len(stored) != schedule.num_steps - start_step + 1):
        raise ValueError("blend needs the injected cells and the trajectory of the same inversion")
    moves = schedule.downward(start_step, config.num_steps)
    latents, later = latents_BCHW, later or {}
    for index, (source, target) in enumerate(moves):
        if index in later:
            entering = later[index].cells_BHW
            latents = torch.where(entering[:, None], later[index].latents_BCHW, latents)
            cells_BHW = entering if cells_BHW is None else cells_BHW | entering
        sigma = schedule.sigma(source, target, config.eta)
        latents = schedule.step(latents, predict_noise(latents, source), source, target, sigma)
        if sigma > 0.0:
            latents = latents + sigma * draw_noise(generators, latents.shape[1:], latents.device)
        if config.blend and cells_BHW is not None:
            latents = torch.where(cells_BHW[:, None], latents, stored[len(moves) - 1 - index])
    return latents
