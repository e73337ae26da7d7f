"""The sampling grid and the noise schedule as plain numbers.

Terms: `timestep` = training time 0..999, `step` = index on the sampling grid, 0 = most noise. abar_t = cumulative
product of alphas at timestep t (Song et al. 2021, DDIM). Everything here is Python floats, so that a sampling loop
never has to read a number back from the device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

SPACINGS = ("leading", "trailing")


@dataclass(frozen=True)
class NoiseSchedule:
    """DDIM grid over the training schedule of one model.

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

    def __post_init__(self) -> None:
        num_train = len(self.abar)
        if not 1 <= self.num_steps <= num_train:
            raise ValueError(f"num_grid_steps is {self.num_steps}; this model allows 1..{num_train}")
        if self.spacing not in SPACINGS:
            raise ValueError(f"spacing is {self.spacing!r}; allowed are {', '.join(SPACINGS)}")
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
        """Timestep of a grid step; step 0 is the noisiest."""
        lowest = self.steps_offset if self.spacing == "leading" else self.stride - 1
        return (self.num_steps - 1 - step) * self.stride + lowest

    def ascending(self, start_step: int) -> tuple[int, ...]:
        """Timesteps an inversion visits to arrive at `start_step`, from least to most noise."""
        return tuple(self.timestep_of(step) for step in range(self.num_steps - 1, start_step - 1, -1))

    def descending(self, start_step: int, num_passes: int = 0) -> tuple[int, ...]:
        """Timesteps at which resampling from `start_step` calls the denoiser, from most to least noise.

        num_passes = 0 takes every grid point. Another number spreads that many timesteps evenly between the
        start and the lowest grid timestep; ValueError where there are fewer timesteps than passes.
        """
        on_grid = tuple(reversed(self.ascending(start_step)))
        if num_passes in (0, len(on_grid)):
            return on_grid
        high, low = on_grid[0], on_grid[-1]
        if num_passes == 1:
            return (high,)
        if num_passes > high - low + 1:
            raise ValueError(
                f"num_steps is {num_passes}, but start step {start_step} (timestep {high}) leaves only "
                f"{high - low + 1} timesteps to resample at"
            )
        return tuple(round(high + (low - high) * k / (num_passes - 1)) for k in range(num_passes))

    def abar_at(self, timestep: int) -> float:
        """abar, with abar[0] below timestep 0 (the end of the grid, where no abar is defined)."""
        return self.abar[max(timestep, 0)]

    def move(self, source: int, target: int) -> tuple[float, float]:
        """(a, b) of the DDIM move z_target = a * z_source + b * eps, up or down in noise.

        DDIM eq. 12 with sigma 0 and the predicted z0 eliminated: a = sqrt(abar_target / abar_source),
        b = sqrt(1 - abar_target) - a * sqrt(1 - abar_source).
        """
        abar_source, abar_target = self.abar_at(source), self.abar_at(target)
        scale = sqrt(abar_target / abar_source)
        return scale, sqrt(1.0 - abar_target) - scale * sqrt(1.0 - abar_source)

    def sigma(self, source: int, target: int, eta: float) -> float:
        """Standard deviation of the fresh noise of a DDIM step down (DDIM eq. 16); 0 for eta 0."""
        abar_source, abar_target = self.abar_at(source), self.abar_at(target)
        if eta == 0.0 or abar_source >= abar_target:
            return 0.0
        return eta * sqrt((1.0 - abar_target) / (1.0 - abar_source)) * sqrt(1.0 - abar_source / abar_target)
