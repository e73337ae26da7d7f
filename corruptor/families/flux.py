"""FLUX.1 dev and schnell: a transformer over packed latents, guided by a number (dev) or not at all (schnell).

Legend: B rows, L text tokens, D embedding width, T tokens of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel, T5EncoderModel

from corruptor.conditioning import Conditioning, token_ids
from corruptor.families.family import VAE, Family, ModelPart, Text
from corruptor.families.packing import SIDE, check_packing, pack, unpack
from corruptor.families.sd3 import blank_text, check_text
from corruptor.flow_schedule import FlowSchedule
from corruptor.guidance import DISTILLED, NONE

DEV_TOKENS, SCHNELL_TOKENS = 512, 256


def embed(parts: Mapping[str, Any], prompt: str, num_tokens: int) -> Conditioning:
    """T5's states, and CLIP's pooled output."""
    clip, words = parts["text_encoder"], parts["text_encoder_2"]
    pooled = clip(token_ids(parts["tokenizer"], clip, prompt)).pooler_output
    hidden = words(token_ids(parts["tokenizer_2"], words, prompt, num_tokens))[0]
    return Conditioning(hidden.float(), {"pooled": pooled.float()})


class FluxDenoiser:
    """FLUX's transformer: 2 x 2 cells a token, places as numbers beside it."""

    def __init__(self, network: Any, factor: int) -> None:
        self.network, self.cells, self.most_cells = network, SIDE, 0
        # On the device once: numbers made in the loop would be copied there every pass.
        self._places: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, latents_BCHW: Tensor, timestep: Tensor, conditioning: Conditioning, scale: Tensor) -> Tensor:
        rows, (height, width) = len(latents_BCHW), latents_BCHW.shape[2:]
        text_ids, image_ids = self._ids(height, width, conditioning.hidden_BLD)
        tokens = self.network(
            hidden_states=pack(latents_BCHW),
            timestep=timestep.expand(rows) / 1000,
            guidance=scale.expand(rows) if self.network.config.guidance_embeds else None,
            pooled_projections=conditioning.added["pooled"],
            encoder_hidden_states=conditioning.hidden_BLD,
            txt_ids=text_ids,
            img_ids=image_ids,
            return_dict=False,
        )[0]
        return unpack(tokens, height, width)

    def _ids(self, height: int, width: int, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Places of text (all zero) and picture (0, row, column) for the rotary embedding, (L, 3) and (T, 3)."""
        size = (height, width, hidden.shape[1])
        if size not in self._places:
            rows, columns = torch.arange(height // SIDE), torch.arange(width // SIDE)
            grid = torch.stack(torch.meshgrid(torch.zeros(1, dtype=torch.int64), rows, columns, indexing="ij"), dim=-1)
            image = grid.reshape(-1, 3).to(hidden)
            self._places[size] = (hidden.new_zeros(hidden.shape[1], 3), image)
        return self._places[size]

    def blank_text(self) -> Conditioning:
        dev = self.network.config.guidance_embeds
        return blank_text(self.network.config, DEV_TOKENS if dev else SCHNELL_TOKENS)

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        check_packing(self.network.config.in_channels, vae_channels)
        check_text(self.network.config, embedded)


def schedule_of(parts: Mapping[str, Any], num_steps: int) -> FlowSchedule:
    """The pipeline's own grid, 1 .. 1/n, then the scheduler's shift."""
    return FlowSchedule.of_config(parts["scheduler"].config, num_steps, cells=SIDE)


FLUX_SCHNELL = Family(
    pipeline="FluxPipeline",
    in_memory=("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    num_grid_steps=4,
    models={
        "transformer": ModelPart(FluxTransformer2DModel, "diffusion_pytorch_model", "denoiser"),
        "vae": VAE,
        "text_encoder": ModelPart(CLIPTextModel, "model", "text"),
        "text_encoder_2": ModelPart(T5EncoderModel, "model", "text"),
    },
    tokenizers={"tokenizer": Text(), "tokenizer_2": Text(SCHNELL_TOKENS)},
    embed_one=partial(embed, num_tokens=SCHNELL_TOKENS),
    denoiser="transformer",
    speak=FluxDenoiser,
    schedule_of=schedule_of,
    scheduler_class=FlowMatchEulerDiscreteScheduler,
    guidance=NONE,
    half=torch.bfloat16,
    half_vae=torch.bfloat16,
    half_text=torch.bfloat16,
    text_leaves=True,
)
FLUX_DEV = replace(
    FLUX_SCHNELL,
    mark=("transformer", "guidance_embeds", True),
    num_grid_steps=28,
    tokenizers={"tokenizer": Text(), "tokenizer_2": Text(DEV_TOKENS)},
    embed_one=partial(embed, num_tokens=DEV_TOKENS),
    guidance=DISTILLED,
)
