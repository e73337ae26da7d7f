"""Flow matching's grid and its straight path (Lipman et al. 2022, Liu et al. 2022; Esser et al. 2024 for the shifts).

x_s = (1 - s) x0 + s eps for s in [0, 1]; the network gives the velocity v = dx/ds = eps - x0, and Euler's step from s
to s' is x + (s' - s) v. The timestep is s times the number of training timesteps. The grid is the one of diffusers'
FlowMatchEulerDiscreteScheduler, from its config; everything is Python floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, Any

from corruptor.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from corruptor.config import CorruptionConfig

TIME_SHIFTS = ("exponential", "linear")
MOST_MU = 100.0
"""Far beyond any model's shift, and nothing overflows."""
REFUSED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling")
"""Switches of a scheduler's config under which its grid, or its step, is another."""


@dataclass(frozen=True)
class DynamicShift:
    """A shift that grows with the picture: mu is linear in the number of tokens."""

    base_shift: float = 0.5
    max_shift: float = 1.15
    base_tokens: int = 256
    max_tokens: int = 4096
    kind: str = "exponential"
    """How mu acts: see `FlowSchedule.shifted`."""
    cells: int = 2
    """Latent cells of a token, per side."""

    def __post_init__(self) -> None:
        if self.base_tokens == self.max_tokens:
            raise ValueError("the scheduler's base_image_seq_len is its max_image_seq_len; fetch its config again")

    def mu(self, num_tokens: int, num_steps: int) -> float:
        """Of a picture of so many tokens, whatever the steps; not bounded at either end."""
        slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens)
        return num_tokens * slope + self.base_shift - slope * self.base_tokens


@dataclass(frozen=True)
class EmpiricalShift:
    """FLUX.2's: mu grows with the tokens and falls with the steps (diffusers' compute_empirical_mu)."""

    kind: str = "exponential"
    """How mu acts: see `FlowSchedule.shifted`."""
    cells: int = 2
    """Latent cells of a token, per side."""

    def mu(self, num_tokens: int, num_steps: int) -> float:
        """Two lines through the tokens, at 10 and at 200 steps, and between them a line through the steps; beyond
        4,300 tokens the one at 200 steps."""
        at_10, at_200 = 8.73809524e-05 * num_tokens + 1.89833333, 0.00016927 * num_tokens + 0.45666666
        if num_tokens > 4300:
            return at_200
        slope = (at_200 - at_10) / 190.0
        return slope * num_steps + at_200 - 200.0 * slope


@dataclass(frozen=True)
class FlowSchedule(Schedule):
    """Euler's grid of a flow-matching model. The direction is the velocity."""

    num_steps: int = 28
    """Points on the sampling grid, from 1."""

    shift: float = 1.0
    """Static shift of s towards noise; without effect where there is a dynamic one."""

    dynamic: DynamicShift | EmpiricalShift | None = None
    """The shift that depends on the picture's size, for models that have one."""

    shift_terminal: float = 0.0
    """Where the last s before 0 is stretched to; 0 leaves it where it is."""

    between_ends: bool = False
    """The unshifted grid runs between the shifted ends of the training grid (SD3's pipeline) instead of from 1 to 1/n
    (FLUX and Qwen-Image)."""

    num_tokens: int = 4096
    """Tokens of the picture: what a dynamic shift is computed of; see `for_size`."""

    num_train: int = 1000
    """Training timesteps."""

    def __post_init__(self) -> None:
        fewest = 2 if self.shift_terminal else 1
        if not fewest <= self.num_steps <= self.num_train:
            raise ValueError(f"num_grid_steps is {self.num_steps}; this model allows {fewest}..{self.num_train}")
        if not self.shift > 0 or not 0 <= self.shift_terminal < 1:
            raise ValueError(
                f"the scheduler's shift is {self.shift} and its shift_terminal {self.shift_terminal}; needed are one "
                f"above 0 and one from 0 to below 1"
            )
        if self.dynamic is None:
            return
        if self.dynamic.kind not in TIME_SHIFTS:
            raise ValueError(
                f"the scheduler's time_shift_type is {self.dynamic.kind!r}; allowed are {', '.join(TIME_SHIFTS)}"
            )
        mu, least = self.dynamic.mu(self.num_tokens, self.num_steps), 0.0 if self.dynamic.kind == "linear" else -MOST_MU
        if not least < mu <= MOST_MU:
            raise ValueError(
                f"the scheduler's shift is {mu:.3g} for a picture of {self.num_tokens} tokens; it must be above "
                f"{least:g} and at most {MOST_MU:g}"
            )

    @staticmethod
    def of_config(
        config: Mapping[str, Any], num_steps: int, between_ends: bool = False, cells: int = 2
    ) -> FlowSchedule:
        """The schedule of a scheduler's config; cells: latent cells of a token, per side.

        Raises ValueError for a config that asks for another grid.
        """
        asked = [name for name in REFUSED if config.get(name)]
        if asked:
            raise ValueError(f"the scheduler's config has {asked[0]}, which is not supported; remove it")
        dynamic = DynamicShift(
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("time_shift_type", "exponential"),
            cells,
        )
        return FlowSchedule(
            num_steps,
            config["shift"],
            dynamic if config.get("use_dynamic_shifting") else None,
            config.get("shift_terminal") or 0.0,
            between_ends,
            num_train=config.get("num_train_timesteps", 1000),
        )

    def with_steps(self, num_steps: int) -> FlowSchedule:
        return replace(self, num_steps=num_steps)

    def for_size(self, height: int, width: int) -> FlowSchedule:
        if self.dynamic is None:
            return self
        return replace(self, num_tokens=(height // self.dynamic.cells) * (width // self.dynamic.cells))

    @cached_property
    def grid(self) -> tuple[float, ...]:
        """s of every step, falling, and 0 at the end."""
        high, low = 1.0, 1.0 / self.num_steps
        if self.between_ends:
            low = 1.0 / self.num_train
            if self.dynamic is None:  # its ends are shifted already when the grid is made, which is then shifted again
                low = self.shifted(low)
        gaps = max(self.num_steps - 1, 1)
        grid = [self.shifted(high + (low - high) * step / gaps) for step in range(self.num_steps)]
        if self.shift_terminal:
            scale = (1.0 - grid[-1]) / (1.0 - self.shift_terminal)
            grid = [1.0 - (1.0 - s) / scale for s in grid]
        return (*grid, 0.0)

    def shifted(self, s: float) -> float:
        """s moved towards noise, by the static or the dynamic shift."""
        if self.dynamic is None:
            return self.shift * s / (1.0 + (self.shift - 1.0) * s)
        mu = self.dynamic.mu(self.num_tokens, self.num_steps)
        scale = exp(mu) if self.dynamic.kind == "exponential" else mu
        return scale / (scale + (1.0 / s - 1.0))

    def timestep_of(self, step: int) -> float:
        return self.grid[step] * self.num_train

    def spread(self, high: float, low: float, num_passes: int, start_step: int) -> tuple[float, ...]:
        return tuple(high + (low - high) * k / (num_passes - 1) for k in range(num_passes))

    def move(self, source: float, target: float) -> tuple[float, float]:
        return 1.0, (target - source) / self.num_train

    def factors(self, timestep: float) -> tuple[float, float]:
        s = timestep / self.num_train
        return 1.0 - s, s

    def sigma(self, source: float, target: float, eta: float) -> float:
        if eta > 0.0:
            raise ValueError(NO_FRESH_NOISE.format(eta))
        return 0.0

    def direction(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        return output

    def step(self, latents: Tensor, direction: Tensor, source: float, target: float, sigma: float) -> Tensor:
        return latents + self.move(source, target)[1] * direction

    def check(self, config: CorruptionConfig) -> None:
        if config.resampling.eta > 0.0:
            raise ValueError(NO_FRESH_NOISE.format(config.resampling.eta))
        if config.inversion.regularise:
            raise ValueError(
                "inversion.regularise is on, but this model predicts a velocity, not noise that could be made whiter; "
                "set it to False"
            )


NO_FRESH_NOISE = "resampling.eta is {}, but flow matching has no fresh noise to add; set it to 0"
