"""Regions without labels: where the generator itself is unsure of a picture.

Noise is put on the picture several times, each time the generator predicts the clean picture from it, and the region is
where its predictions differ most. Menn et al. 2025b ("Similarity trajectories") and Aithal et al. 2024 argue that
artifacts come from where predictions do not settle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from region_select.hottest import HottestOptions, hottest_region
from region_select.policy import ItemPolicy, Selection
from shards.errors import ConfigError
from shards.source import SourceItem

if TYPE_CHECKING:
    from corruptor.backbone import Backbone

GRID = 50
"""Steps of the grid on which levels of noise are told (corruptor.spread)."""
MOST_DRAWS = 64


@dataclass(frozen=True)
class UncertainOptions:
    """Options of the policy `uncertain`."""

    steps: tuple[int, ...] = (15, 25)
    """Levels of noise at which it is asked: steps of a grid of 50, 0 = most noise."""
    num_draws: int = 4
    """Draws of noise a level, 2 to 64: a picture costs as many denoiser passes as levels times draws."""
    use_caption: bool = True
    """Prompt with the picture's caption; False: with the empty prompt."""
    region: HottestOptions = field(default_factory=HottestOptions)
    model: str = ""
    """A pipeline folder or hub id; "" takes the run's own generator."""

    def __post_init__(self) -> None:
        if not self.steps or not all(0 <= step < GRID for step in self.steps):
            raise ValueError(f"steps must be one or more of 0..{GRID - 1}, got {self.steps}")
        if not 2 <= self.num_draws <= MOST_DRAWS:
            raise ValueError(f"num_draws must be 2..{MOST_DRAWS}, got {self.num_draws}")


class UncertainPolicy(ItemPolicy):
    """Draws its noise from the item's generator: variants of a picture may have other regions.

    Raises ConfigError where there is no generator: outside a run, `model` names one.
    """

    Options = UncertainOptions

    def __init__(self, options: UncertainOptions | None = None) -> None:
        super().__init__(options)
        self.generator: Backbone | None = None
        if self.options.model:
            import torch

            from corruptor.line.config import ModelConfig
            from corruptor.line.run import open_model

            device = "cuda" if torch.cuda.is_available() else "cpu"
            self.generator = open_model(ModelConfig(self.options.model), device)

    def take_generator(self, generator: Backbone) -> None:
        if not self.options.model:
            self.generator = generator

    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        return hottest_region(self.heat(item, rng), self.options.region)

    def heat(self, item: SourceItem, rng: np.random.Generator) -> NDArray[np.float32]:
        """float32 HW, 0..1: how much predictions differ, 1 at the least sure cell of the picture."""
        if self.generator is None:
            raise ConfigError(
                "region policy 'uncertain' needs a generator; outside a run name one: region.options.model=DIR"
            )
        from corruptor.spread import spread_of, widened

        asked = self.options
        prompt = item.caption if asked.use_caption else ""
        cells = spread_of(self.generator, item.image, prompt, asked.steps, asked.num_draws, rng)
        found = cells / max(float(cells.max()), 1e-12)
        height, width = item.image.shape[:2]
        return widened(found, height, width)

    def digest(self) -> str:
        return self.generator.digest() if self.options.model and self.generator is not None else ""
