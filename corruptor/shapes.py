"""Network shapes of well-known models, as diffusers' configs have them, and their cost counted without weights.

Plain data: nothing is loaded. Used to count floating-point operations and to benchmark with random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_SD_UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}


@dataclass(frozen=True)
class Shape:
    """UNet and VAE of a model."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    pooled_dim: int = 0
    """Width of the pooled text embedding of UNets that take one beside six numbers of size; 0 for none."""


SHAPES: dict[str, Shape] = {
    "sd15": Shape(_SD_UNET, _VAE),
    "sd21": Shape(
        {
            **_SD_UNET,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        _VAE,
    ),
    "sdxl": Shape(
        {
            **_SD_UNET,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        _VAE,
        pooled_dim=1280,
    ),
    "tiny": Shape(
        {
            **_SD_UNET,
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "layers_per_block": 1,
            "cross_attention_dim": 32,
        },
        {
            **_VAE,
            "block_out_channels": (16, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "layers_per_block": 1,
            "norm_num_groups": 8,
        },
    ),
}
"""By name; `tiny` is for trying things on a CPU."""

NUM_TOKENS = 77


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one picture: 2 for each multiply-add."""

    unet: int
    """One pass without guidance."""
    encode: int
    decode: int


def known_shape(unet_config: Mapping[str, Any], vae_config: Mapping[str, Any]) -> str:
    """Name of the shape that configs as read from JSON have; "" for none."""

    def same(shape: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        return all(_plain(config.get(name)) == _plain(value) for name, value in shape.items())

    fitting = [name for name, shape in SHAPES.items() if same(shape.unet, unet_config) and same(shape.vae, vae_config)]
    return fitting[0] if fitting else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def count_flops(unet_config: Mapping[str, Any], vae_config: Mapping[str, Any], height: int, width: int) -> Flops:
    """Counts by running the networks without data (torch's meta device): no weights, no memory, about a second.

    Args:
        unet_config, vae_config: arguments of diffusers' UNet2DConditionModel and AutoencoderKL.
        height, width: of the picture in pixels.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad():
        unet = UNet2DConditionModel.from_config(dict(unet_config)).eval()
        vae = AutoencoderKL.from_config(dict(vae_config)).eval()
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        latents = torch.empty(1, vae.config.latent_channels, height // factor, width // factor)
        hidden = torch.empty(1, NUM_TOKENS, unet.config.cross_attention_dim)
        added = _added(unet.config)
        pixels = torch.empty(1, 3, height, width)
        timestep = torch.empty(1, dtype=torch.long)
        works: tuple[Callable[[], Any], ...] = (
            lambda: unet(latents, timestep, hidden, added_cond_kwargs=added),
            lambda: vae.encode(pixels),
            lambda: vae.decode(latents),
        )
        totals = []
        for work in works:
            with FlopCounterMode(display=False) as counter:
                work()
            totals.append(counter.get_total_flops())
    return Flops(*totals)


def _added(config: Any) -> dict[str, Any] | None:
    """Empty size and pooled text conditioning for UNets that take them."""
    import torch

    if config.addition_embed_type != "text_time":
        return None
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)}
