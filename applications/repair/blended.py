"""Inpainting with a model that knows no masks: its latents are blended with the picture's at every step.

Avrahami et al. 2023, Blended Latent Diffusion: z_t = m z_t' + (1 - m) (sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from applications.repair.options import NOISED, FillOptions, RepairError, told_dtype
from corruptor.backbone import Backbone, Conditioning
from corruptor.config import InversionConfig, ResamplingConfig
from corruptor.noise import draw_noise, forward_noise, sample_generator
from corruptor.renoise import invert
from corruptor.resample import resample
from shards.errors import ConfigError
from shards.masks import U8

STEPS, GUIDANCE = 30, 7.5
FEW_STEPS = 8
"""A model whose own grid is no larger was distilled to few steps, without guidance."""


class BlendedInpainter:
    """An `Inpainter` (see there) of a backbone. Raises ConfigError where the model has no such grid of steps."""

    kind = "blended"

    def __init__(self, backbone: Backbone, options: FillOptions) -> None:
        self.backbone, self.options = backbone, options
        self.multiple = backbone.size_multiple
        self.size = options.size or backbone.native_size
        if self.size % self.multiple:
            raise ConfigError(f"--size is {self.size}; this model takes multiples of {self.multiple}")
        distilled = backbone.schedule.num_steps <= FEW_STEPS
        steps = options.steps or (backbone.schedule.num_steps if distilled else STEPS)
        self.guidance = options.guidance or (1.0 if distilled else GUIDANCE)
        cells = self.size // backbone.factor
        try:
            self.schedule = backbone.schedule.with_steps(steps).for_size(cells, cells)
        except ValueError as error:
            raise ConfigError(f"--steps {steps}: {error}") from error
        self.start_step = min(round((1 - options.strength) * steps), steps - 1)
        self.facts: dict[str, object] = {
            "kind": self.kind,
            "model": backbone.model_id,
            "revision": backbone.revision,
            "digest": backbone.digest(),
            "steps": steps,
            "guidance": self.guidance,
            "strength": options.strength,
            "known": options.known,
            "negative_prompt": options.negative_prompt,
            "size": self.size,
            **told_dtype(options),
        }

    @torch.no_grad()
    def fill(self, images: U8, masks: U8, prompts: Sequence[str], seeds: Sequence[int]) -> U8:
        """As `Inpainter.fill`."""
        backbone = self.backbone
        z0 = backbone.encode(torch.from_numpy(np.ascontiguousarray(images)))
        noise = draw_noise([sample_generator(seed) for seed in seeds], z0.shape[1:], backbone.device)
        conditioning = backbone.embed(prompts)

        def predict(latents_BCHW: Tensor, timestep: float) -> Tensor:
            words = self.options.negative_prompt
            return backbone.predict_noise(latents_BCHW, timestep, conditioning, self.guidance, words)

        known = self.known(z0, noise, conditioning)
        cells = reached_cells(masks, backbone.factor).to(backbone.device)
        # At full strength nothing of what is there shines through the noise.
        start = self.schedule.factors(self.schedule.timestep_of(self.start_step))
        fresh = noise if self.start_step == 0 else forward_noise(z0, noise, start)
        begin = torch.where(cells[:, None], fresh, known[-1])
        config = ResamplingConfig(blend=True)
        latents = resample(predict, begin, self.schedule, self.start_step, config, stored=known, cells_BHW=cells)
        try:
            filled: U8 = backbone.decode(latents).cpu().numpy()
        except FloatingPointError as error:
            raise RepairError(f"the inpainter {backbone.model_id} gives no picture: {error}") from error
        return filled

    def known(self, z0: Tensor, noise: Tensor, conditioning: Conditioning) -> list[Tensor]:
        """Latents of the picture itself at every step, from clean to the one that is begun with."""
        if self.options.known == NOISED:
            timesteps = self.schedule.ascending(self.start_step)
            return [z0, *(forward_noise(z0, noise, self.schedule.factors(timestep)) for timestep in timesteps)]

        def predict(latents_BCHW: Tensor, timestep: float) -> Tensor:
            return self.backbone.predict_noise(latents_BCHW, timestep, conditioning)

        return list(invert(predict, z0, self.schedule, self.start_step, InversionConfig(warm_passes=(1,))))


def reached_cells(masks: U8, factor: int) -> Tensor:
    """bool (B, H / f, W / f): the latent cells with a masked pixel, so that no masked pixel keeps what was there."""
    return functional.max_pool2d(torch.from_numpy(masks).float()[:, None], factor)[:, 0] > 0
