"""Stable Diffusion 1, 2, XL and Turbo: a UNet that reads the text by cross attention.

Legend: B rows, C latent channels, H and W latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from corruptor.conditioning import Conditioning, embed_clip, embed_two_clips, size_ids
from corruptor.families.family import VAE, Family, ModelPart, Text
from corruptor.flow_schedule import FlowSchedule
from corruptor.schedule import NoiseSchedule

SizeIds = Callable[[int, int], tuple[int, ...]]
"""(height, width) in pixels -> the UNet's `time_ids`."""
UNET = ModelPart(UNet2DConditionModel, "diffusion_pytorch_model", "denoiser")
CLIP = ModelPart(CLIPTextModel, "model", "text")
CLIP_TOKENS = 77
"""Of the published models."""


class UnetDenoiser:
    """A UNet with cross attention; `of_size` where it takes the picture's size and pooled text."""

    def __init__(self, network: Any, factor: int, addition: str | None = None, of_size: SizeIds | None = None) -> None:
        self.network, self.factor, self.addition, self.of_size = network, factor, addition, of_size
        self.cells, self.most_cells = 2 ** (len(network.config.block_out_channels) - 1), 0
        # On the device once: numbers made in the loop would be copied there every pass.
        self._size_ids: dict[tuple[int, int], Tensor] = {}

    def __call__(self, latents_BCHW: Tensor, timestep: Tensor, conditioning: Conditioning, scale: Tensor) -> Tensor:
        output: Tensor = self.network(
            latents_BCHW,
            timestep,
            encoder_hidden_states=conditioning.hidden_BLD,
            added_cond_kwargs=self._added(latents_BCHW, conditioning),
            return_dict=False,
        )[0]
        return output

    def _added(self, latents: Tensor, conditioning: Conditioning) -> dict[str, Tensor] | None:
        """`added_cond_kwargs`: pooled text, and the picture's size in pixels where the family takes it."""
        added = dict(conditioning.added)
        if self.of_size is not None:
            size = (latents.shape[2] * self.factor, latents.shape[3] * self.factor)
            if size not in self._size_ids:
                self._size_ids[size] = torch.tensor([self.of_size(*size)], device=latents.device).float()
            added["time_ids"] = self._size_ids[size].expand(len(latents), -1)
        return added or None

    def blank_text(self) -> Conditioning:
        config = self.network.config
        hidden = torch.zeros(1, CLIP_TOKENS, config.cross_attention_dim)
        if self.of_size is None:
            return Conditioning(hidden)
        num_ids = len(self.of_size(0, 0)) * config.addition_time_embed_dim
        return Conditioning(
            hidden, {"text_embeds": torch.zeros(1, config.projection_class_embeddings_input_dim - num_ids)}
        )

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        config = self.network.config
        if config.in_channels != vae_channels:
            raise ValueError(
                f"the UNet takes {config.in_channels} channels but the VAE's latents have "
                f"{vae_channels}; inpainting and other conditioned UNets are not supported"
            )
        if config.addition_embed_type != self.addition:
            raise ValueError(
                f"the UNet's addition_embed_type is {config.addition_embed_type!r}, but this pipeline's has "
                f"{self.addition!r}: its unet/ is of another family"
            )
        width = embedded.hidden_BLD.shape[-1]
        if config.cross_attention_dim != width:
            raise ValueError(
                f"the text encoder gives {width} numbers a token, but the UNet takes {config.cross_attention_dim}: "
                f"text_encoder/ and unet/ are of different models"
            )
        if self.of_size is None:
            return
        num_ids = len(self.of_size(0, 0))
        given = embedded.added["text_embeds"].shape[-1] + num_ids * config.addition_time_embed_dim
        wanted = config.projection_class_embeddings_input_dim
        if given != wanted:
            raise ValueError(
                f"the UNet takes {wanted} numbers of size and pooled text, but gets {given}; "
                f"refiners, which also take an aesthetic score, are not supported"
            )


def ddim_schedule(parts: Mapping[str, Any], num_steps: int, spacing: str = "leading") -> NoiseSchedule:
    """DDIM's grid over the model's noise schedule."""
    scheduler = parts["scheduler"]
    return NoiseSchedule(
        tuple(float(value) for value in scheduler.alphas_cumprod.tolist()),
        num_steps=num_steps,
        steps_offset=scheduler.config.steps_offset,
        spacing=spacing,
        prediction_type=scheduler.config.prediction_type,
    )


def flow_schedule(parts: Mapping[str, Any], num_steps: int) -> FlowSchedule:
    """Euler's grid of a UNet that predicts velocities."""
    return FlowSchedule.of_config(parts["scheduler"].config, num_steps, cells=1)


SD = Family(
    pipeline="StableDiffusionPipeline",
    in_memory=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    num_grid_steps=50,
    models={"unet": UNET, "vae": VAE, "text_encoder": CLIP},
    tokenizers={"tokenizer": Text()},
    embed_one=embed_clip,
    denoiser="unet",
    speak=UnetDenoiser,
    schedule_of=ddim_schedule,
    file_keys=("model.diffusion_model.", "first_stage_model.", "cond_stage_model."),
)
SDXL = Family(
    pipeline="StableDiffusionXLPipeline",
    in_memory=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    num_grid_steps=50,
    models={
        "unet": UNET,
        "vae": VAE,
        "text_encoder": CLIP,
        "text_encoder_2": ModelPart(CLIPTextModelWithProjection, "model", "text"),
    },
    tokenizers={"tokenizer": Text(), "tokenizer_2": Text()},
    embed_one=embed_two_clips,
    denoiser="unet",
    speak=partial(UnetDenoiser, addition="text_time", of_size=size_ids),
    schedule_of=ddim_schedule,
    file_keys=("model.diffusion_model.", "first_stage_model.", "conditioner.embedders.1."),
    heeds_force_upcast=True,
    zero_negative=True,
)


def _turbo(family: Family) -> Family:
    return replace(
        family,
        mark=("scheduler", "timestep_spacing", "trailing"),
        spacing="trailing",
        num_grid_steps=4,
        schedule_of=partial(ddim_schedule, spacing="trailing"),
    )


SD_TURBO, SDXL_TURBO = _turbo(SD), _turbo(SDXL)
SD_FLOW = replace(
    SD,
    mark=("scheduler", "_class_name", FlowMatchEulerDiscreteScheduler.__name__),
    scheduler_class=FlowMatchEulerDiscreteScheduler,
    schedule_of=flow_schedule,
    file_keys=(),
)
"""A UNet trained with rectified flow in a Stable Diffusion folder."""
