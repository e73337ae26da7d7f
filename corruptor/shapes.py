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


_MMDIT = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "attention_head_dim": 64,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048,
    "qk_norm": "rms_norm",
}
_FLUX = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
}
_VAE_16 = {**_VAE, "latent_channels": 16}


@dataclass(frozen=True)
class Shape:
    """Denoiser and VAE of a model."""

    family: str
    """A row of `families.table.FAMILIES`."""
    denoiser: Mapping[str, Any]
    vae: Mapping[str, Any]


SHAPES: dict[str, Shape] = {
    "sd15": Shape("sd", _SD_UNET, _VAE),
    "sd21": Shape(
        "sd",
        {
            **_SD_UNET,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        _VAE,
    ),
    "sdxl": Shape(
        "sdxl",
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
    ),
    "sd35_medium": Shape(
        "sd3",
        {
            **_MMDIT,
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(13)),
        },
        _VAE_16,
    ),
    "sd35_large": Shape(
        "sd3",
        {
            **_MMDIT,
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
        },
        _VAE_16,
    ),
    "flux_dev": Shape("flux-dev", {**_FLUX, "guidance_embeds": True}, _VAE_16),
    "flux_schnell": Shape("flux-schnell", {**_FLUX, "guidance_embeds": False}, _VAE_16),
    "flux2_klein_4b": Shape(
        "flux2-klein",
        {
            "patch_size": 1,
            "in_channels": 128,
            "num_layers": 5,
            "num_single_layers": 20,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
            "guidance_embeds": False,
        },
        {**_VAE, "latent_channels": 32},
    ),
    "qwen_image": Shape(
        "qwen-image",
        {
            "patch_size": 2,
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 60,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 3584,
        },
        {"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2},
    ),
    "tiny": Shape(
        "sd",
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


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one picture: 2 for each multiply-add."""

    denoiser: int
    """One pass without guidance."""
    encode: int
    decode: int


def known_shape(denoiser_config: Mapping[str, Any], vae_config: Mapping[str, Any]) -> str:
    """Name of the shape that configs as read from JSON have; "" for none."""

    def same(shape: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        return all(_plain(config.get(name)) == _plain(value) for name, value in shape.items())

    fitting = [
        name for name, shape in SHAPES.items() if same(shape.denoiser, denoiser_config) and same(shape.vae, vae_config)
    ]
    return fitting[0] if fitting else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def count_flops(
    family: str, denoiser_config: Mapping[str, Any], vae_config: Mapping[str, Any], height: int, width: int
) -> Flops:
    """Counts by running the networks without data (torch's meta device): no weights, no memory, seconds.

    Args:
        family: a row of `families.table.FAMILIES`, which says how the networks are called.
        denoiser_config, vae_config: arguments of the family's classes.
        height, width: of the picture in pixels.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from corruptor.families.table import FAMILIES

    row = FAMILIES[family]
    with torch.device("meta"), torch.no_grad():
        network = row.models[row.denoiser].model_class.from_config(dict(denoiser_config)).eval()
        vae = row.models["vae"].model_class.from_config(dict(vae_config)).eval()
        factor = row.latents.factor(vae)
        latents = torch.empty(1, row.latents.channels(vae), height // factor, width // factor)
        denoiser = row.speak(network, factor)
        text, pixels, number = denoiser.blank_text(), torch.empty(1, 3, height, width), torch.empty(1)
        works: tuple[Callable[[], Any], ...] = (
            lambda: denoiser(latents, number, text, number),
            lambda: row.latents.encode(vae, pixels),
            lambda: row.latents.decode(vae, latents),
        )
        totals = []
        for work in works:
            with FlopCounterMode(display=False) as counter:
                work()
            totals.append(counter.get_total_flops())
    return Flops(*totals)
