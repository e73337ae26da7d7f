"""The recipe's numbers, its clock and its log."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes the trained weights, time aside."""

    seed: int = 7
    vae_scenes: int = 30_000
    vae_batch: int = 16
    vae_lr: float = 1.5e-3
    latent_noise: float = 0.08
    """Standard deviation of the noise added to latents while the autoencoder trains (latents have a spread near 1)."""
    unet_scenes: int = 30_000
    unet_batch: int = 32
    unet_lr: float = 6e-4
    unet_cool: float = 0.9
    """Share of a call's minutes over which the rate of the UNet falls to nothing; a long fall beats a plateau."""
    caption_dropout: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    min_snr: float = 5.0
    timestep_focus: float = 0.5
    """Share of the timesteps drawn from 200..749, where shapes are decided; the others from all of them."""
    ema: float = 0.9995
    bf16: bool = True
    """Bfloat16 autocast where the machine has instructions for it; emulated, it is ten times slower than float32."""
    save_minutes: float = 3.0

    @property
    def objective(self) -> str:
        """What the UNet is trained to give, see `objective`."""
        return "noise"


@dataclass(frozen=True)
class FlowRecipe(Recipe):
    """The sibling that is trained with rectified flow, from the weights of the one that predicts noise."""

    flow: bool = True
    """Stamped on a training folder, so that neither takes the other's."""
    unet_lr: float = 3e-4
    unet_cool: float = 0.5

    @property
    def objective(self) -> str:
        return "flow"


class Clock:
    """The time box of one call: how long it ran, what learning rate belongs to now.

    Raises ConfigError (a ValueError) unless `minutes` is above 0.
    """

    def __init__(self, minutes: float, cool: float = 0.35) -> None:
        if not minutes > 0:
            raise ConfigError(f"--minutes is {minutes}: give a number above 0")
        self._start = time.monotonic()
        self._saved = self._start
        self._box = minutes * 60
        self._cool = cool

    def minutes(self) -> float:
        """How long the call has run."""
        return (time.monotonic() - self._start) / 60

    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self._start >= self._box

    def left(self) -> str:
        """The time left, for a line of the report."""
        return f"{max(0.0, self._box / 60 - self.minutes()):.1f} min left"

    def rate(self, step: int, warmup: int) -> float:
        """Share of the full learning rate: a warm-up in iterations, then full, then a straight fall at the end."""
        done = (time.monotonic() - self._start) / self._box
        fall = 1.0 if done < 1 - self._cool else max(0.02, (1 - done) / self._cool)
        return fall * min(1.0, (step + 1) / warmup)

    def due(self, every_minutes: float) -> bool:
        """True once each time `every_minutes` have passed."""
        now = time.monotonic()
        if now - self._saved < every_minutes * 60:
            return False
        self._saved = now
        return True


class Log:
    """One JSON line an entry, appended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **values: Any) -> None:
        """Append an entry."""
        with open(self._path, "a", encoding="utf-8") as out:
            out.write(json.dumps(values) + "\n")
