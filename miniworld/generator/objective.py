"""What a denoiser is trained to give: the noise on a schedule, or the velocity of a straight path (rectified flow).

Legend: B pictures of a batch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from miniworld.generator.models import build_scheduler
from miniworld.generator.recipe import Recipe

FOCUS = (200, 750)
"""Timesteps at which parts of a thing take shape: before them its place, after them its edges."""


class Objective(Protocol):
    """One way to train."""

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Levels of noise to train on, [count], as the network is told them."""

    def noised(self, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """Latents [B, 8, 16, 16] with noise on them."""

    def loss(self, output: Tensor, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """Mean over the batch of the network's weighted squared error."""


class NoiseObjective:
    """Noise prediction with min-SNR weights."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.abar = recipe, build_scheduler().alphas_cumprod.to(device)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        return draw_timesteps(count, len(self.abar), self.recipe.timestep_focus, rng).to(self.abar.device)

    def noised(self, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        a = self.abar[levels][:, None, None, None]
        return a.sqrt() * z + (1 - a).sqrt() * noise

    def loss(self, output: Tensor, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        error = (output - noise).square().mean(dim=(1, 2, 3))
        return (weights_of(levels, self.abar, self.recipe.min_snr) * error).mean()


class FlowObjective:
    """The velocity noise - z of x_s = (1 - s) z + s noise; s logit-normal (Esser et al. 2024), told as 1000 s."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.device = device

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        return 1000 * torch.sigmoid(torch.randn(count, generator=rng)).to(self.device)

    def noised(self, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        s = levels[:, None, None, None] / 1000
        return (1 - s) * z + s * noise

    def loss(self, output: Tensor, z: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        return (output - (noise - z)).square().mean()


def weights_of(timesteps: Tensor, abar: Tensor, cap: float) -> Tensor:
    """Min-SNR weighting of the noise-prediction loss (Hang et al. 2023, equation 7): min(snr, cap) / snr."""
    snr = abar[timesteps] / (1 - abar[timesteps])
    return torch.clamp(cap / snr, max=1.0)


def draw_timesteps(count: int, length: int, focus: float, rng: torch.Generator) -> Tensor:
    """Timesteps to train on, int64 [count]: a share `focus` uniform in FOCUS, the others uniform in 0..length - 1."""
    everywhere = torch.randint(0, length, (count,), generator=rng)
    inside = torch.randint(*FOCUS, (count,), generator=rng)
    return torch.where(torch.rand(count, generator=rng) < focus, inside, everywhere)
