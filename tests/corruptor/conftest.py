"""A Stable-Diffusion-class pipeline folder of real diffusers classes at tiny size, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from corruptor.backbone import Backbone, load_backbone

WORDS = ("a", "face", "red", "car", "hand")
NUM_TOKENS = 12


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    merges = ["#version: 0.2"]
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            tokens.append(parts[0])
    folder.mkdir(parents=True)
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(dict.fromkeys(merges)) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=NUM_TOKENS)


def make_pipeline(folder: Path, *, latent_channels: int = 8, prediction_type: str = "epsilon") -> Path:
    """f = 4 and 8 latent channels, as in no well-known model, so that nothing can assume 8 and 4."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=NUM_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        scaling_factor=0.7,
        shift_factor=0.1,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionPipeline(
        vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler, **parts
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def backbone(model_folder: Path) -> Backbone:
    return load_backbone(model_folder)


@pytest.fixture(scope="session")
def v_backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(make_pipeline(tmp_path_factory.mktemp("models") / "v", prediction_type="v_prediction"))


@pytest.fixture
def images() -> torch.Tensor:
    """Three smooth images, uint8 (3, 32, 32, 3)."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    planes = [torch.stack([(x * k) % 256, (y * 7) % 256, (x + y) * k % 256], dim=-1) for k in (2, 4, 7)]
    return torch.stack(planes).to(torch.uint8)


@pytest.fixture
def masks() -> torch.Tensor:
    """Two components, none, one with ignored pixels: uint8 (3, 32, 32)."""
    result = torch.zeros(3, 32, 32, dtype=torch.uint8)
    result[0, 4:12, 4:12] = 1
    result[0, 20:31, 20:23] = 1
    result[2, 8:24, 8:24] = 1
    result[2, 0:4] = 255
    return result
