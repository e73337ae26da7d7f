"""What a guidance scale above 1 is to a kind of model, and what it costs. No torch, so that a plan is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corruptor.config import CorruptionConfig


@dataclass(frozen=True)
class Guidance:
    """A kind of guidance."""

    name: str
    samples: int
    """Samples of the network for one picture and pass at a scale above 1."""
    told: bool = False
    """The network is told the scale as a number, at 1 as well."""
    takes_scale: bool = True
    """False: there is none, and a scale above 1 is refused."""
    takes_negative: bool = True
    """Whether it leads away from a negative prompt."""

    def samples_at(self, scale: float) -> int:
        """Samples of the network for one picture and pass."""
        return self.samples if scale > 1.0 else 1

    def check(self, config: CorruptionConfig) -> None:
        """That this model can be guided as the config says. Raises ValueError."""
        for name, scale in (
            ("inversion", config.inversion.guidance_scale),
            ("resampling", config.resampling.guidance_scale),
        ):
            if scale > 1.0 and not self.takes_scale:
                raise ValueError(
                    f"{name}.guidance_scale is {scale:g}, but this model was distilled to be run without guidance; "
                    f"set it to 1"
                )
        if config.negative_prompt and not self.takes_negative:
            raise ValueError(
                f"negative_prompt is {config.negative_prompt[:40]!r}, but this model takes none; set it to ''"
            )


CLASSIFIER_FREE = Guidance("classifier-free", samples=2)
"""Away from the negative prompt, in a second sample (Ho and Salimans 2022)."""
DISTILLED = Guidance("distilled", samples=1, told=True, takes_negative=False)
"""The scale is an input of the network (FLUX.1 dev)."""
NONE = Guidance("none", samples=1, takes_scale=False, takes_negative=False)
"""Distilled to few steps without an input for the scale (FLUX.1 schnell)."""
