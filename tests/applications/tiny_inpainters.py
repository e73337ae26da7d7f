"""Inpainting pipelines of real diffusers classes at tiny size with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

TINY = Path(__file__).resolve().parents[1] / "corruptor" / "tiny_models.py"


def tiny_models() -> ModuleType:
    """The tiny models of the corruptor's tests, which are no package."""
    spec = importlib.util.spec_from_file_location("applications_tiny_models", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_sd_inpaint(folder: Path, channels: int = 9) -> Path:
    """f = 4, 4 latent channels; 9: latents, mask and masked picture, 4: none of the latter two."""
    torch.manual_seed(3)
    tiny = tiny_models()
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionInpaintPipeline(
        vae=tiny.make_vae(),
        unet=tiny.make_unet(16, in_channels=channels),
        text_encoder=CLIPTextModel(tiny.make_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**tiny.DDIM),
        **parts,
    ).save_pretrained(folder)
    return folder


def make_sdxl_inpaint(folder: Path) -> Path:
    torch.manual_seed(4)
    tiny = tiny_models()
    tokenizers = [tiny.make_tokenizer(folder.parent / f"{folder.name}_tokenizer{n}") for n in (1, 2)]
    unet = tiny.make_unet(
        16 + 24,
        in_channels=9,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 20,
    )
    StableDiffusionXLInpaintPipeline(
        vae=tiny.make_vae(),
        unet=unet,
        text_encoder=CLIPTextModel(tiny.make_text_config(tokenizers[0], 16)),
        text_encoder_2=CLIPTextModelWithProjection(tiny.make_text_config(tokenizers[1], 24, projection_dim=20)),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        scheduler=EulerDiscreteScheduler(**tiny.SCHEDULE),
    ).save_pretrained(folder)
    return folder


def make_flux_fill(folder: Path) -> Path:
    """f = 4, 4 latent channels; packed by 2 x 2 they are 16, and with the masked picture and f x f x 4 of mask 96."""
    torch.manual_seed(5)
    tiny = tiny_models()
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    words = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -2.0),
        ("▁", -2.0),
        *((c, -3.0) for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    tokenizer_2 = T5Tokenizer(vocab=words, extra_ids=0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16 + 16 + 64,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=tiny.make_vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(tiny.make_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder
