"""The sampling grid and the noise schedule as plain numbers.

Terms: `timestep` = level of noise as the model is told it, 0..999 (whole numbers for DDIM, any number for flow
matching), `step` = index on the sampling grid, 0 = most noise. Everything here is Python floats, so that a sampling
loop never has to read a number back from the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from corruptor.config import CorruptionConfig, InversionConfig

SPACINGS = ("leading", "trailing")
PREDICTIONS = ("epsilon", "v_prediction")


class Schedule(ABC):
    """A grid of timesteps and the way latents go along it. Inversion, injection and resampling know nothing else.

    One prediction of the network gives a `direction`, and a step of the sampler, up or down in noise, is
    z_target = a * z_source + b * direction with (a, b) = `move(source, target)`.
    """

    num_steps: int
    """Number of points on the sampling grid."""

    @abstractmethod
    def with_steps(self, num_steps: int) -> Schedule:
        """The same model's schedule on a grid of another size. Raises ValueError for a size that it does not allow."""

    def for_size(self, height: int, width: int) -> Schedule:
        """The schedule of pictures of height x width latent cells, where the grid depends on it."""
        return self

    @abstractmethod
    def timestep_of(self, step: int) -> float:
        """Timestep of a grid step, 0 (the noisiest) .. num_steps (the clean end, where no network is called)."""

    @abstractmethod
    def spread(self, high: float, low: float, num_passes: int, start_step: int) -> tuple[float, ...]:
        """So many timesteps, evenly from high to low. Raises ValueError where there are fewer."""

    @abstractmethod
    def move(self, source: float, target: float) -> tuple[float, float]:
        """(a, b) of the step from one timestep to another, up or down in noise."""

    @abstractmethod
    def factors(self, timestep: float) -> tuple[float, float]:
        """(signal, noise) of clean latents with noise on them: z_t = signal * z0 + noise * eps."""

    @abstractmethod
    def sigma(self, source: float, target: float, eta: float) -> float:
        """Standard deviation of the fresh noise of a step down. Raises ValueError where there is none to be had."""

    @abstractmethod
    def direction(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        """What `move` multiplies with b, of the network's output for these latents."""

    @abstractmethod
    def step(self, latents: Tensor, direction: Tensor, source: float, target: float, sigma: float) -> Tensor:
        """Latents one step down: `move`, with room left for fresh noise of this sigma."""

    def check(self, config: CorruptionConfig) -> None:  # noqa: B027 - most can do everything
        """That the schedule can do what is asked. Raises ValueError."""

    def ascending(self, start_step: int) -> tuple[float, ...]:
        """Timesteps an inversion visits to arrive at `start_step`, from least to most noise."""
        return tuple(self.timestep_of(step) for step in range(self.num_steps - 1, start_step - 1, -1))

    def upward(self, start_step: int) -> tuple[tuple[float, float], ...]:
        """(source, target) timesteps of an inversion's steps from clean latents to `start_step`."""
        timesteps = (self.timestep_of(self.num_steps), *self.ascending(start_step))
        return tuple(pairwise(timesteps))

    def descending(self, start_step: int, num_passes: int = 0) -> tuple[float, ...]:
        """Timesteps at which resampling from `start_step` calls the denoiser, from most to least noise.

        num_passes = 0 takes every grid point. Another number spreads that many timesteps evenly between the
        start and the lowest grid timestep; ValueError where there are fewer timesteps than passes.
        """
        on_grid = tuple(reversed(self.ascending(start_step)))
        if num_passes in (0, len(on_grid)):
            return on_grid
        if num_passes == 1:
            return on_grid[:1]
        return self.spread(on_grid[0], on_grid[-1], num_passes, start_step)

    def downward(self, start_step: int, num_passes: int = 0) -> tuple[tuple[float, float], ...]:
        """(source, target) timesteps of resampling's steps from `start_step` to clean latents; see `descending`."""
        timesteps = (*self.descending(start_step, num_passes), self.timestep_of(self.num_steps))
        return tuple(pairwise(timesteps))


@dataclass(frozen=True)
class NoiseSchedule(Schedule):
    """DDIM grid over the training schedule of one model. The direction is the predicted noise.

    abar_t = cumulative product of alphas at timestep t (Song et al. 2021, DDIM).

    `timestep_of(step)` descends with the step; for 50 steps of 1,000 with offset 1 it is 981, 961, .., 21, 1, and with
    trailing spacing 999, 979, .., 39, 19 (Lin et al. 2024, table 2).
    """

    abar: tuple[float, ...]
    """abar[t] for every training timestep t, in (0, 1], falling."""

    num_steps: int = 50
    """Number of points on the sampling grid, 1 .. len(abar)."""

    steps_offset: int = 1
    """Added to every timestep of a leading grid (the model's scheduler says it; 1 for Stable Diffusion)."""

    spacing: str = "leading"
    """`leading`, or `trailing` for models distilled to a few steps, whose grid must hold the last timestep."""

    prediction_type: str = "epsilon"
    """What the network gives: the noise, or v = sqrt(abar) eps - sqrt(1 - abar) z0 (Salimans and Ho 2022)."""

    def __post_init__(self) -> None:
        num_train = len(self.abar)
        if not 1 <= self.num_steps <= num_train:
            raise ValueError(f"num_grid_steps is {self.num_steps}; this model allows 1..{num_train}")
        if self.spacing not in SPACINGS:
            raise ValueError(f"spacing is {self.spacing!r}; allowed are {', '.join(SPACINGS)}")
        if self.prediction_type not in PREDICTIONS:
            raise ValueError(
                f"the scheduler's prediction_type is {self.prediction_type!r}; allowed are {', '.join(PREDICTIONS)}"
            )
        if self.spacing == "trailing" and num_train % self.num_steps:
            raise ValueError(
                f"num_grid_steps is {self.num_steps}; this model's trailing grid needs a divisor of {num_train}, "
                f"such as 4, 10, 25 or 50"
            )
        if not all(0.0 <= value <= 1.0 for value in self.abar):
            raise ValueError("the model's noise schedule holds values outside 0..1; fetch its scheduler again")
        highest = self.timestep_of(0)
        if self.steps_offset < 0 or highest >= num_train:
            raise ValueError(
                f"a grid of {self.num_steps} steps with offset {self.steps_offset} reaches timestep {highest}, "
                f"but the model knows 0..{num_train - 1}; use fewer steps"
            )
        if self.abar[highest] <= 0.0:
            raise ValueError(f"abar is 0 at grid timestep {highest}: DDIM cannot leave pure noise; use fewer steps")

    @property
    def stride(self) -> int:
        """Distance between neighbouring grid timesteps (20 for 50 of 1,000)."""
        return len(self.abar) // self.num_steps

    def with_steps(self, num_steps: int) -> NoiseSchedule:
        """The same model's schedule on a grid of another size."""
        return replace(self, num_steps=num_steps)

    def timestep_of(self, step: int) -> int:
        """Timestep of a grid step; step 0 is the noisiest. The clean end is below 0, see `abar_at`."""
        lowest = self.steps_offset if self.spacing == "leading" else self.stride - 1
        return (self.num_steps - 1 - step) * self.stride + lowest

    def spread(self, high: float, low: float, num_passes: int, start_step: int) -> tuple[int, ...]:
        if num_passes > high - low + 1:
            raise ValueError(
                f"num_steps is {num_passes}, but start step {start_step} (timestep {high}) leaves only "
                f"{high - low + 1} timesteps to resample at"
            )
        return tuple(round(high + (low - high) * k / (num_passes - 1)) for k in range(num_passes))

    def abar_at(self, timestep: float) -> float:
        """abar, with abar[0] below timestep 0 (the end of the grid, where no abar is defined)."""
        return self.abar[max(int(timestep), 0)]

    def move(self, source: float, target: float) -> tuple[float, float]:
        """DDIM eq. 12 with sigma 0 and the predicted z0 eliminated: a = sqrt(abar_target / abar_source),
        b = sqrt(1 - abar_target) - a * sqrt(1 - abar_source).
        """
        abar_source, abar_target = self.abar_at(source), self.abar_at(target)
        scale = sqrt(abar_target / abar_source)
        return scale, sqrt(1.0 - abar_target) - scale * sqrt(1.0 - abar_source)

    def factors(self, timestep: float) -> tuple[float, float]:
        """sqrt(abar), sqrt(1 - abar) (Menn et al. eq. 4)."""
        abar = self.abar_at(timestep)
        return abar**0.5, (1.0 - abar) ** 0.5

    def sigma(self, source: float, target: float, eta: float) -> float:
        """DDIM eq. 16; 0 for eta 0."""
        abar_source, abar_target = self.abar_at(source), self.abar_at(target)
        if eta == 0.0 or abar_source >= abar_target:
            return 0.0
        return eta * sqrt((1.0 - abar_target) / (1.0 - abar_source)) * sqrt(1.0 - abar_source / abar_target)

    def direction(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        """The noise: of v it is sqrt(abar) v + sqrt(1 - abar) z_t."""
        if self.prediction_type == "epsilon":
            return output
        signal, noise = self.factors(timestep)
        return signal * output + noise * latents

    def step(self, latents: Tensor, direction: Tensor, source: float, target: float, sigma: float) -> Tensor:
        noise, signal, next_signal, next_noise = self.step_factors(source, target, sigma)
        return next_signal * ((latents - noise * direction) / signal) + next_noise * direction

    def step_factors(self, source: float, target: float, sigma: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """sqrt(1 - abar_t), sqrt(abar_t), sqrt(abar_target), sqrt(1 - abar_target - sigma^2) of a DDIM step (eq. 12).

        In single precision by way of torch, whose powers are not always the nearest float: with the same factors and
        the same order of operations a step gives the bits that diffusers' sampler gives. Tensors without dimensions on
        the CPU, which multiply tensors of any device and are never read back.
        """
        import torch  # a plan needs none of it

        abar = torch.tensor([self.abar_at(source), self.abar_at(target)])
        squares = (1 - abar[0], abar[0], abar[1], (1 - abar[1] - sigma**2).clamp(min=0))
        noise, signal, next_signal, next_noise = (square**0.5 for square in squares)
        return noise, signal, next_signal, next_noise


def num_inversion_passes(schedule: Schedule, start_step: int, config: InversionConfig) -> int:
    """Denoiser passes that inverting costs, exactly; guidance doubles the samples of a pass, not the passes."""
    timesteps = schedule.ascending(start_step)
    if config.mode == "warm":
        passes = config.warm_passes
        return sum(passes[min(index, len(passes) - 1)] for index in range(len(timesteps)))
    if config.mode == "ddim":
        return len(timesteps)
    return sum(num_iterations(timestep, config) + 1 + config.regularise for timestep in timesteps)


def num_iterations(timestep: float, config: InversionConfig) -> int:
    """ReNoise iterations of the inversion step that arrives at `timestep`."""
    if timestep < config.low_noise_timestep:
        return min(config.low_noise_cap, config.num_renoise_iterations)
    return config.num_renoise_iterations
