"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): a transformer over text and picture, rectified flow.

Legend: B rows, L tokens, D embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from torch import Tensor
from torch.nn.functional import pad
from transformers import CLIPTextModelWithProjection, T5EncoderModel

from corruptor.conditioning import Conditioning, token_ids
from corruptor.families.family import VAE, Family, ModelPart, Text
from corruptor.families.stable_diffusion import CLIP_TOKENS
from corruptor.flow_schedule import FlowSchedule

CLIP = ModelPart(CLIPTextModelWithProjection, "model", "text")
T5 = ModelPart(T5EncoderModel, "model", "text")
T5_TOKENS = 256


def embed(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """Both CLIPs side by side (last but one states, filled up to T5's width), then T5's tokens after them; and the two
    pooled projections. Zeros stand for a T5 that is not there."""
    hidden, pooled = [], []
    for suffix in ("", "_2"):
        encoder = parts[f"text_encoder{suffix}"]
        output = encoder(token_ids(parts[f"tokenizer{suffix}"], encoder, prompt), output_hidden_states=True)
        hidden.append(output.hidden_states[-2].float())
        pooled.append(output[0].float())
    clips = torch.cat(hidden, dim=-1)
    if "text_encoder_3" in parts:
        encoder = parts["text_encoder_3"]
        words = encoder(token_ids(parts["tokenizer_3"], encoder, prompt, T5_TOKENS))[0].float()
    else:
        words = clips.new_zeros(1, T5_TOKENS, parts["transformer"].config.joint_attention_dim)
    filled = pad(clips, (0, words.shape[-1] - clips.shape[-1]))
    return Conditioning(torch.cat([filled, words], dim=1), {"pooled": torch.cat(pooled, dim=-1)})


class Sd3Denoiser:
    """SD3's transformer, which cuts latents into patches itself."""

    def __init__(self, network: Any, factor: int) -> None:
        self.network, self.cells = network, int(network.config.patch_size)
        self.most_cells = self.cells * int(network.config.pos_embed_max_size)

    def __call__(self, latents_BCHW: Tensor, timestep: Tensor, conditioning: Conditioning, scale: Tensor) -> Tensor:
        output: Tensor = self.network(
            hidden_states=latents_BCHW,
            timestep=timestep.expand(len(latents_BCHW)),
            encoder_hidden_states=conditioning.hidden_BLD,
            pooled_projections=conditioning.added["pooled"],
            return_dict=False,
        )[0]
        return output

    def blank_text(self) -> Conditioning:
        return blank_text(self.network.config, CLIP_TOKENS + T5_TOKENS)

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        config = self.network.config
        if config.in_channels != vae_channels:
            raise ValueError(
                f"the transformer takes {config.in_channels} channels but the VAE's latents have {vae_channels}: "
                f"transformer/ and vae/ are of different models"
            )
        check_text(config, embedded)


def blank_text(config: Any, num_tokens: int) -> Conditioning:
    """Zeros in place of a text of so many tokens."""
    pooled = torch.zeros(1, config.pooled_projection_dim)
    return Conditioning(torch.zeros(1, num_tokens, config.joint_attention_dim), {"pooled": pooled})


def check_text(config: Any, embedded: Conditioning) -> None:
    """That a transformer takes what the text encoders give. Raises ValueError."""
    given = (embedded.hidden_BLD.shape[-1], embedded.added["pooled"].shape[-1])
    wanted = (config.joint_attention_dim, config.pooled_projection_dim)
    if given != wanted:
        raise ValueError(
            f"the text encoders give {given[0]} numbers a token and {given[1]} pooled, but the transformer takes "
            f"{wanted[0]} and {wanted[1]}: text encoders and transformer/ are of different models"
        )


def schedule_of(parts: Mapping[str, Any], num_steps: int) -> FlowSchedule:
    """The pipeline gives the scheduler no grid of its own: it runs between the shifted ends of the training grid."""
    cells = int(parts["transformer"].config.patch_size)
    return FlowSchedule.of_config(parts["scheduler"].config, num_steps, between_ends=True, cells=cells)


SD3 = Family(
    pipeline="StableDiffusion3Pipeline",
    in_memory=("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    num_grid_steps=28,
    models={
        "transformer": ModelPart(SD3Transformer2DModel, "diffusion_pytorch_model", "denoiser"),
        "vae": VAE,
        "text_encoder": CLIP,
        "text_encoder_2": CLIP,
        "text_encoder_3": T5,
    },
    tokenizers={"tokenizer": Text(), "tokenizer_2": Text(), "tokenizer_3": Text(T5_TOKENS)},
    optional=("text_encoder_3", "tokenizer_3"),
    embed_one=embed,
    denoiser="transformer",
    speak=Sd3Denoiser,
    schedule_of=schedule_of,
    scheduler_class=FlowMatchEulerDiscreteScheduler,
    half=torch.bfloat16,
    half_vae=torch.bfloat16,
    half_text=torch.bfloat16,
    text_leaves=True,
)
