"""The embedded generator's networks: real diffusers and transformers classes at a small size.

The folder that `save_pipeline` writes is a standard Stable Diffusion pipeline folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from miniworld.world.colours import GROUNDS, HAIRS, PAINTS, SKIES, SKINS
from miniworld.world.glyphs import WORDS
from miniworld.world.scenes import SIZE

LATENT_CHANNELS = 8
MAX_TOKENS = 48
TEXT_WIDTH = 128
WIDTHS = (96, 144, 176)
"""Channels of the UNet's three levels."""


def build_vae() -> AutoencoderKL:
    """f = 4: SIZE x SIZE x 3 pixels to 16 x 16 x 8 latents; 1.6 M parameters."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        mid_block_add_attention=False,
        sample_size=SIZE,
    )


def build_unet() -> UNet2DConditionModel:
    """Attention to the caption at 8 x 8 and 4 x 4; the 16 x 16 level is convolution only, for speed."""
    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=WIDTHS,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )


def vocabulary() -> list[str]:
    """Every word and mark that a caption can hold."""
    fixed = "face with skin and hair at hand sleeve sign car bus sky ground top middle bottom left right , "
    fixed += "smiling calm shouting short long bun"
    names = [*SKINS, *HAIRS, *PAINTS, *SKIES, *GROUNDS, *(w.lower() for w in WORDS)]
    return sorted(set(fixed.split()) | set(names))


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer whose merges rebuild whole caption words, so that each word is one token.

    Byte-pair merges spell a word from its left end; words of other texts fall into letters.
    """
    words = vocabulary()
    letters = sorted({c for w in words for c in w} | set("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"-"))
    tokens = [*letters, *(f"{c}</w>" for c in letters)]
    merges: list[str] = []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            pair = f"{pieces[-2]} {pieces[-1]}"
            joined = pieces[-2] + pieces[-1]
            pieces[-2:] = [joined]
            if pair not in merges:
                merges.append(pair)
            if joined not in tokens:
                tokens.append(joined)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=MAX_TOKENS)


def build_text_encoder(vocab_size: int, end_token: int) -> CLIPTextModel:
    """Two layers, trained together with the UNet."""
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=end_token - 1,
        eos_token_id=end_token,
        pad_token_id=end_token,
    )
    return CLIPTextModel(config)


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def build_flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Rectified flow's grid, unshifted: the pictures are small."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)


class SamplingFlow(FlowMatchEulerDiscreteScheduler):
    """What a StableDiffusionPipeline asks of its scheduler beside what flow matching's has."""

    init_noise_sigma = 1.0
    """The first latents are noise alone."""

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """Latents go to the network as they are."""
        return sample


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token ids, int64 [B, MAX_TOKENS]."""
    out = tokenizer(captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    ids: torch.Tensor = out.input_ids
    return ids


def hush_libraries() -> None:
    """Keep diffusers' and transformers' bars and hints from standing between our own lines.

    To be called before a pipeline class is imported: some hints (torchvision, which is not needed) come with that.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()


def save_pipeline(
    folder: Path,
    vae: Any,
    unet: Any,
    text_encoder: Any,
    tokenizer: CLIPTokenizer,
    card: str | None = None,
    scheduler: Any = None,
) -> None:
    """Write the standard folder: UNet and VAE in half precision, the text encoder in float32, all safetensors."""
    hush_libraries()
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(
        vae=vae.half(),
        unet=unet.half(),
        text_encoder=text_encoder.float(),
        tokenizer=tokenizer,
        scheduler=scheduler or build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        clean = re.sub(r'\n\s*"_name_or_path": "[^"]*",?', "", text)
        if clean != text:
            path.write_text(clean, encoding="utf-8")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
