"""Families of models as rows of data: which parts they have, how prompts become conditioning, what must fit.

A new family is a new row of FAMILIES; nothing else asks which family a model is of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from corruptor.conditioning import Conditioning, embed_clip, embed_two_clips, size_ids
from shards.errors import SchemaError
from shards.guard.json_text import read_object
from shards.guard.plain_file import open_plain


@dataclass(frozen=True)
class ModelPart:
    """A network in a folder of its own."""

    model_class: Any
    weights: str
    """Name of the weights file, without `.safetensors`."""
    role: str
    """Which of the dtypes it runs in: `unet`, `vae`, or `text` (always fp32: it is cheap, and mixing fails)."""


UNET = ModelPart(UNet2DConditionModel, "diffusion_pytorch_model", "unet")
VAE = ModelPart(AutoencoderKL, "diffusion_pytorch_model", "vae")


@dataclass(frozen=True)
class Family:
    """How one kind of model is read and spoken to."""

    pipeline: str
    """diffusers' pipeline class, the `_class_name` in a folder's model_index.json."""
    in_memory: tuple[str, ...]
    """diffusers' classes of pipelines in memory that have the same parts."""
    spacing: str
    """`timestep_spacing` of the folder's scheduler: trailing marks the models distilled to a few steps."""
    num_grid_steps: int
    """Size of the model's own sampling grid: what `Backbone.schedule` has until it is told otherwise."""
    models: Mapping[str, ModelPart]
    tokenizers: tuple[str, ...]
    embed_one: Callable[[Mapping[str, Any], str], Conditioning]
    """(parts, prompt) -> conditioning of one row, fp32."""
    file_keys: tuple[str, ...]
    """Single .safetensors file: a tensor of each of these prefixes must be in it, and of no other family's."""
    addition: str | None = None
    """The UNet's `addition_embed_type`."""
    size_ids: Callable[[int, int], tuple[int, ...]] | None = None
    """(height, width) in pixels -> the UNet's `time_ids`, where it takes them."""
    half_vae: torch.dtype = torch.float16
    """What the VAE runs in where the UNet runs in half precision and nothing else is asked for."""
    heeds_force_upcast: bool = False
    """The VAE's `force_upcast` says that it overflows in float16. Families that set it by default ignore it."""
    zero_negative: bool = False
    """No negative prompt means zeros, not the empty prompt, unless model_index.json has it otherwise."""


_SD = Family(
    pipeline="StableDiffusionPipeline",
    in_memory=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    spacing="leading",
    num_grid_steps=50,
    models={"unet": UNET, "vae": VAE, "text_encoder": ModelPart(CLIPTextModel, "model", "text")},
    tokenizers=("tokenizer",),
    embed_one=embed_clip,
    file_keys=("model.diffusion_model.", "first_stage_model.", "cond_stage_model."),
)
_SDXL = Family(
    pipeline="StableDiffusionXLPipeline",
    in_memory=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    spacing="leading",
    num_grid_steps=50,
    models={
        "unet": UNET,
        "vae": VAE,
        "text_encoder": ModelPart(CLIPTextModel, "model", "text"),
        "text_encoder_2": ModelPart(CLIPTextModelWithProjection, "model", "text"),
    },
    tokenizers=("tokenizer", "tokenizer_2"),
    embed_one=embed_two_clips,
    file_keys=("model.diffusion_model.", "first_stage_model.", "conditioner.embedders.1."),
    addition="text_time",
    size_ids=size_ids,
    heeds_force_upcast=True,
    zero_negative=True,
)
FAMILIES: dict[str, Family] = {
    "sd": _SD,
    "sd-turbo": replace(_SD, spacing="trailing", num_grid_steps=4),
    "sdxl": _SDXL,
    "sdxl-turbo": replace(_SDXL, spacing="trailing", num_grid_steps=4),
}
"""SD 1.x and 2.x are one row: whether a model predicts noise or v is in its scheduler's config."""


def family_of(folder: Path) -> Family:
    """The row that a pipeline folder belongs to, by its model_index.json and its scheduler.

    Raises FileNotFoundError without them, ValueError for another kind of pipeline.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} has no model_index.json: it is no pipeline folder in diffusers format; "
            f"save one with save_pretrained"
        )
    pipeline = read_json(index).get("_class_name")
    spacing = scheduler_spacing(folder)
    rows = [family for family in FAMILIES.values() if family.pipeline == pipeline]
    if not rows:
        supported = ", ".join(dict.fromkeys(family.pipeline for family in FAMILIES.values()))
        raise ValueError(f"{index} names the pipeline {pipeline!r}; supported are {supported}")
    return next((family for family in rows if family.spacing == spacing), rows[0])


def scheduler_spacing(folder: Path) -> str:
    """`trailing` or `leading`. A linspace grid is run as leading, the grid the method is written for."""
    path = folder / "scheduler" / "scheduler_config.json"
    told = read_json(path).get("timestep_spacing") if path.is_file() else None
    return "trailing" if told == "trailing" else "leading"


def check_fit(family: Family, unet: Any, vae: Any, embedded: Conditioning) -> None:
    """That the parts belong together. `embedded` is any prompt's conditioning. Raises ValueError."""
    if unet.config.in_channels != vae.config.latent_channels:
        raise ValueError(
            f"the UNet takes {unet.config.in_channels} channels but the VAE's latents have "
            f"{vae.config.latent_channels}; inpainting and other conditioned UNets are not supported"
        )
    if unet.config.addition_embed_type != family.addition:
        raise ValueError(
            f"the UNet's addition_embed_type is {unet.config.addition_embed_type!r}, but a {family.pipeline} has "
            f"{family.addition!r}: its unet/ is of another family"
        )
    width = embedded.hidden_BLD.shape[-1]
    if unet.config.cross_attention_dim != width:
        raise ValueError(
            f"the text encoder gives {width} numbers a token, but the UNet takes {unet.config.cross_attention_dim}: "
            f"text_encoder/ and unet/ are of different models"
        )
    if family.size_ids is None:
        return
    num_ids = len(family.size_ids(0, 0))
    given = embedded.added["text_embeds"].shape[-1] + num_ids * unet.config.addition_time_embed_dim
    wanted = unet.config.projection_class_embeddings_input_dim
    if given != wanted:
        raise ValueError(
            f"the UNet takes {wanted} numbers of size and pooled text, but gets {given}; "
            f"refiners, which also take an aesthetic score, are not supported"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A config file. Raises ValueError naming the file where it is no JSON object, FileNotFoundError without it."""
    try:
        return read_object(path)
    except SchemaError as error:
        with contextlib.suppress(OSError), open_plain(path) as file:
            if file.read(8) == b"version ":
                raise ValueError(f"{path} is a Git LFS pointer; fetch the file itself") from error
        raise
