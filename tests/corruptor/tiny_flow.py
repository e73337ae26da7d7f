"""Pipeline folders of the flow-matching families: real classes at tiny size with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
)
from tiny_models import make_text_config, make_tokenizer, make_unet, make_vae
from tokenizers import pre_tokenizers
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

T5_WORDS = ("a", "face", "red", "car", "hand")
STATIC: dict[str, Any] = {"shift": 3.0}
DYNAMIC: dict[str, Any] = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
QWEN: dict[str, Any] = {
    "use_dynamic_shifting": True,
    "max_shift": 0.9,
    "max_image_seq_len": 8192,
    "shift_terminal": 0.02,
}


def make_t5_tokenizer() -> T5TokenizerFast:
    """Whole words and letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*((f"▁{word}", -1.0) for word in T5_WORDS), *((letter, -3.0) for letter in ("▁", *letters))]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)


def make_t5(width: int) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=64, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2))


def make_kl() -> AutoencoderKL:
    """f = 4, 4 channels, with a shift."""
    return make_vae(shift_factor=0.1)


def make_sd3(folder: Path, *, t5: bool = True, scheduler: dict[str, Any] = STATIC) -> Path:
    torch.manual_seed(3)
    tokenizers = [make_tokenizer(folder.parent / f"{folder.name}_tokenizer{n}") for n in (1, 2)]
    tokenizers[1].pad_token = "e"
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=48,
            caption_projection_dim=16,
            pooled_projection_dim=12 + 20,
            pos_embed_max_size=16,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(**scheduler),
        vae=make_kl(),
        text_encoder=CLIPTextModelWithProjection(make_text_config(tokenizers[0], 16, projection_dim=12)),
        tokenizer=tokenizers[0],
        text_encoder_2=CLIPTextModelWithProjection(make_text_config(tokenizers[1], 24, projection_dim=20)),
        tokenizer_2=tokenizers[1],
        text_encoder_3=make_t5(48) if t5 else None,
        tokenizer_3=make_t5_tokenizer() if t5 else None,
    ).save_pretrained(folder)
    return folder


def make_flux(folder: Path, *, dev: bool = True) -> Path:
    torch.manual_seed(4)
    tokenizer = make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    FluxPipeline(
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            pooled_projection_dim=16,
            guidance_embeds=dev,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(**(DYNAMIC if dev else {"shift": 1.0})),
        vae=make_kl(),
        text_encoder=CLIPTextModel(make_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        text_encoder_2=make_t5(24),
        tokenizer_2=make_t5_tokenizer(),
    ).save_pretrained(folder)
    return folder


def make_qwen_tokenizer(folder: Path) -> Qwen2Tokenizer:
    """Bytes, and the template's marks."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = Qwen2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def make_qwen(folder: Path) -> Path:
    torch.manual_seed(5)
    tokenizer = make_qwen_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        "max_position_embeddings": 2048,
    }
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
    }  # fmt: skip
    QwenImagePipeline(
        transformer=QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(**QWEN),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0],
            latents_std=[0.9, 1.1, 0.8, 1.2],
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
"""What Qwen3's own template comes to for one message."""


def make_flux2(folder: Path, *, distilled: bool = True, layers: int = 28) -> Path:
    torch.manual_seed(7)
    tokenizer = make_qwen_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    tokenizer.chat_template = CHAT
    text = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=1024,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )
    vae.bn.running_mean.normal_(0, 0.2)
    vae.bn.running_var.uniform_(0.5, 1.5)
    Flux2KleinPipeline(
        transformer=Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(**DYNAMIC),
        vae=vae,
        text_encoder=Qwen3ForCausalLM(text),
        tokenizer=tokenizer,
        is_distilled=distilled,
    ).save_pretrained(folder)
    return folder


def make_sd_flow(folder: Path) -> Path:
    """A UNet trained with rectified flow, in a Stable Diffusion folder."""
    torch.manual_seed(6)
    tokenizer = make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionPipeline(
        vae=make_vae(),
        unet=make_unet(16),
        text_encoder=CLIPTextModel(make_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        **parts,
    ).save_pretrained(folder)
    return folder
