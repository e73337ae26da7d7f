"""FLUX.2 klein: a transformer over packed latents, text by three layers of a language model, a VAE whose latents are
normalised by the batch norm it was trained with.

Legend: B rows, C latent channels, L text tokens, D embedding width, T tokens of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from torch import Tensor
from transformers import Qwen3ForCausalLM

from corruptor.conditioning import Conditioning
from corruptor.families.family import Family, LatentCode, ModelPart, Text
from corruptor.families.packing import SIDE, check_packing, pack, unpack
from corruptor.flow_schedule import EmpiricalShift, FlowSchedule
from corruptor.guidance import CLASSIFIER_FREE, NONE

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
"""What Qwen3's chat template makes of a prompt when it is not to think. The folder's own template is a program that
would be run, so it is not read."""
NUM_TOKENS = 512
"""Text tokens that the transformer is given, padding among them: it has no mask."""
LAYERS = (9, 18, 27)
"""Of the language model, counted from its embeddings as 0; their states lie side by side."""


def embed(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """States of three layers of the language model for the prompt in its template, (1, NUM_TOKENS, 3 widths)."""
    encoder = parts["text_encoder"]
    told = parts["tokenizer"](
        TEMPLATE.format(prompt), max_length=NUM_TOKENS, padding="max_length", truncation=True, return_tensors="pt"
    ).to(encoder.device)
    found = encoder.model(
        input_ids=told.input_ids, attention_mask=told.attention_mask, output_hidden_states=True, use_cache=False
    )
    if len(found.hidden_states) <= LAYERS[-1]:
        raise ValueError(
            f"the text encoder has {len(found.hidden_states) - 1} layers; FLUX.2 klein reads its layer {LAYERS[-1]}"
        )
    return Conditioning(torch.cat([found.hidden_states[layer] for layer in LAYERS], dim=-1).float(), {})


class Flux2Denoiser:
    """FLUX.2's transformer: 2 x 2 cells a token, places as four numbers beside it."""

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
            guidance=None,
            encoder_hidden_states=conditioning.hidden_BLD,
            txt_ids=text_ids.expand(rows, -1, -1),
            img_ids=image_ids.expand(rows, -1, -1),
            return_dict=False,
        )[0]
        return unpack(tokens, height, width)

    def _ids(self, height: int, width: int, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Places (time, row, column, word) of text (1, L, 4) and picture (1, T, 4)."""
        size = (height, width, hidden.shape[1])
        if size not in self._places:
            one = torch.zeros(1, dtype=torch.int64)
            text = torch.cartesian_prod(one, one, one, torch.arange(hidden.shape[1]))
            image = torch.cartesian_prod(one, torch.arange(height // SIDE), torch.arange(width // SIDE), one)
            self._places[size] = (text[None].to(hidden.device), image[None].to(hidden.device))
        return self._places[size]

    def blank_text(self) -> Conditioning:
        return Conditioning(torch.zeros(1, NUM_TOKENS, self.network.config.joint_attention_dim), {})

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        config = self.network.config
        check_packing(config.in_channels, vae_channels)
        if config.guidance_embeds:
            raise ValueError("the transformer has guidance_embeds: FLUX.2 dev is another model and is not supported")
        width = embedded.hidden_BLD.shape[-1]
        if config.joint_attention_dim != width:
            raise ValueError(
                f"the text encoder gives {width} numbers a token, but the transformer takes "
                f"{config.joint_attention_dim}: text_encoder/ and transformer/ are of different models"
            )


def _spread(vae: Any) -> tuple[Tensor, Tensor]:
    """Mean and spread of the numbers of a token, (4 C,) fp32."""
    return vae.bn.running_mean.float(), (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt()


def _encode(vae: Any, pixels: Tensor) -> Tensor:
    latents = vae.encode(pixels).latent_dist.mode().float()
    mean, std = _spread(vae)
    return unpack((pack(latents) - mean) / std, *latents.shape[2:])


def _decode(vae: Any, latents: Tensor) -> Tensor:
    mean, std = _spread(vae)
    plain = unpack(pack(latents) * std + mean, *latents.shape[2:])
    pixels: Tensor = vae.decode(plain.to(vae.dtype)).sample
    return pixels.float()


def schedule_of(parts: Mapping[str, Any], num_steps: int) -> FlowSchedule:
    """From 1 to 1/n, shifted by what the pipeline makes of tokens and steps, whatever base and maximum a config has."""
    found = FlowSchedule.of_config(parts["scheduler"].config, num_steps, cells=SIDE)
    return replace(found, dynamic=found.dynamic and EmpiricalShift(found.dynamic.kind, SIDE))


FLUX2_KLEIN_BASE = Family(
    pipeline="Flux2KleinPipeline",
    in_memory=("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
    num_grid_steps=50,
    models={
        "transformer": ModelPart(Flux2Transformer2DModel, "diffusion_pytorch_model", "denoiser"),
        "vae": ModelPart(AutoencoderKLFlux2, "diffusion_pytorch_model", "vae"),
        "text_encoder": ModelPart(Qwen3ForCausalLM, "model", "text"),
    },
    tokenizers={"tokenizer": Text(NUM_TOKENS, TEMPLATE)},
    embed_one=embed,
    denoiser="transformer",
    speak=Flux2Denoiser,
    schedule_of=schedule_of,
    scheduler_class=FlowMatchEulerDiscreteScheduler,
    latents=LatentCode(
        channels=lambda vae: int(vae.config.latent_channels),
        factor=lambda vae: int(2 ** (len(vae.config.block_out_channels) - 1)),
        encode=_encode,
        decode=_decode,
    ),
    guidance=CLASSIFIER_FREE,
    half=torch.bfloat16,
    half_vae=torch.bfloat16,
    half_text=torch.bfloat16,
    text_leaves=True,
)
FLUX2_KLEIN = replace(FLUX2_KLEIN_BASE, mark=("", "is_distilled", True), num_grid_steps=4, guidance=NONE)
"""Distilled to four steps; `is_distilled` is in model_index.json."""
