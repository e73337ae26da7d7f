"""Pipeline folders of real diffusers classes at tiny size with random weights, and the same as single files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

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


def make_text_config(tokenizer: CLIPTokenizer, width: int, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=NUM_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **more,
    )


def make_vae(latent_channels: int = 4, **more: Any) -> AutoencoderKL:
    """f = 4."""
    return AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        scaling_factor=0.6,
        **more,
    )


def make_unet(width: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **{"attention_head_dim": 4, **more},
    )


SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
DDIM: dict[str, Any] = {**SCHEDULE, "clip_sample": False, "set_alpha_to_one": False}


def make_sd(folder: Path, *, second: bool = False, prediction_type: str = "epsilon") -> Path:
    """SD 1.x's make, or SD 2.x's: another text encoder, linear projections, heads by level."""
    torch.manual_seed(1)
    tokenizer = make_tokenizer(folder.parent / f"{folder.name}_tokenizer")
    width = 24 if second else 16
    of_second = {"use_linear_projection": True, "attention_head_dim": (2, 4)} if second else {}
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionPipeline(
        vae=make_vae(),
        unet=make_unet(width, **of_second),
        text_encoder=CLIPTextModel(make_text_config(tokenizer, width, hidden_act="gelu" if second else "quick_gelu")),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**DDIM, prediction_type=prediction_type),
        **parts,
    ).save_pretrained(folder)
    return folder


def make_sdxl(folder: Path, *, spacing: str = "leading", zeros: bool = True, force_upcast: bool = True) -> Path:
    """SDXL's make: two text encoders of unlike width, unlike padding, size and pooled text as conditioning."""
    torch.manual_seed(2)
    tokenizers = [make_tokenizer(folder.parent / f"{folder.name}_tokenizer{n}") for n in (1, 2)]
    tokenizers[1].pad_token = "e"
    unet = make_unet(
        16 + 24,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 20,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=make_vae(force_upcast=force_upcast),
        unet=unet,
        text_encoder=CLIPTextModel(make_text_config(tokenizers[0], 16)),
        text_encoder_2=CLIPTextModelWithProjection(make_text_config(tokenizers[1], 24, projection_dim=20)),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing=spacing),
        force_zeros_for_empty_prompt=zeros,
    )
    pipeline.save_pretrained(folder)
    # As the published files have them: keys of DDIM that the named sampler does not know.
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "clip_sample": False, "set_alpha_to_one": False}))
    return folder


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
"""diffusers' names within a UNet's resnet -> the original ones."""
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def original_unet_name(name: str) -> str:
    """The name in the original format, for one resnet a block (two blocks down, two resnets a block up)."""
    for end, original in UNET_ENDS.items():
        if name.startswith(f"{end}."):
            return name.replace(end, original)
    where, block, kind, index, rest = name.replace("mid_block", "mid_block.0", 1).split(".", 4)
    block, index = int(block), int(index)  # type: ignore[assignment]
    if kind == "resnets":
        part = next(part for part in RESNET if rest.startswith(part))
        rest = rest.replace(part, RESNET[part])
    if where == "mid_block":
        return f"middle_block.{2 * int(index) if kind == 'resnets' else 1}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{2 * int(block) + 2}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return f"output_blocks.{2 * int(block) + 1}.1.{rest}"
    place = "0" if kind == "resnets" else "1"
    if where == "down_blocks":
        return f"input_blocks.{2 * int(block) + int(index) + 1}.{place}.{rest}"
    return f"output_blocks.{2 * int(block) + int(index)}.{place}.{rest}"


def original_vae_name(name: str, levels: int = 3) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
    for number in (0, 1):
        name = name.replace(f"mid_block.resnets.{number}.", f"mid.block_{number + 1}.")
    for level in range(levels):
        name = name.replace(f"down_blocks.{level}.resnets.", f"down.{level}.block.")
        name = name.replace(f"down_blocks.{level}.downsamplers.0.", f"down.{level}.downsample.")
        name = name.replace(f"up_blocks.{level}.resnets.", f"up.{levels - 1 - level}.block.")
        name = name.replace(f"up_blocks.{level}.upsamplers.0.", f"up.{levels - 1 - level}.upsample.")
    if "attn_1" in name:
        for ours, original in VAE_ATTENTION.items():
            name = name.replace(ours, original)
    return name


def original_open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The second text encoder of SDXL: query, key and value in one, the projection transposed."""
    result: dict[str, Tensor] = {}
    for full, value in state.items():
        name = full.removeprefix("text_model.")
        if name == "text_projection.weight":
            result["text_projection"] = value.T.contiguous()
        elif name.startswith("embeddings.position"):
            result["positional_embedding"] = value
        elif name.startswith("embeddings.token"):
            result["token_embedding.weight"] = value
        elif name.startswith("final_layer_norm"):
            result[name.replace("final_layer_norm", "ln_final")] = value
        elif ".q_proj." in name:
            kind = name.rpartition(".")[2]
            whole = torch.cat([state[full.replace("q_proj", f"{letter}_proj")] for letter in "qkv"])
            layer = name.split(".")[2]
            result[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = whole
        elif ".k_proj." not in name and ".v_proj." not in name:
            layer, rest = name.removeprefix("encoder.layers.").split(".", 1)
            part = next(part for part in OPEN_CLIP if rest.startswith(part))
            result[f"transformer.resblocks.{layer}.{rest.replace(part, OPEN_CLIP[part])}"] = value
    return result


def make_single_file(folder: Path, file: Path) -> Path:
    """The weights of a tiny pipeline folder under the names of the original checkpoints."""
    double = (folder / "text_encoder_2").is_dir()
    pipeline = (StableDiffusionXLPipeline if double else StableDiffusionPipeline).from_pretrained(folder)
    tensors = {
        f"model.diffusion_model.{original_unet_name(name)}": value for name, value in pipeline.unet.state_dict().items()
    }
    for name, value in pipeline.vae.state_dict().items():
        original = original_vae_name(name)
        is_projection = "attn_1" in original and value.ndim == 2
        tensors[f"first_stage_model.{original}"] = value[:, :, None, None] if is_projection else value
    prefix = "conditioner.embedders.0.transformer" if double else "cond_stage_model.transformer"
    for name, value in pipeline.text_encoder.state_dict().items():
        tensors[f"{prefix}.text_model.{name.removeprefix('text_model.')}"] = value
    if double:
        for name, value in original_open_clip(pipeline.text_encoder_2.state_dict()).items():
            tensors[f"conditioner.embedders.1.model.{name}"] = value
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, file)
    return file
