"""diffusers' inpainting pipelines whose network takes the mask and the masked picture as channels.

Their folders come from outside: checked before diffusers reads them, safetensors only, only the parts that are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging as transformers_logging

from applications.repair.options import NOISED, FillOptions, RepairError, told_dtype
from corruptor.hub import fetch
from corruptor.loading import quiet_library
from corruptor.model_folder import (
    TOKENIZERS,
    check_index,
    check_network,
    check_pieces,
    check_scheduler,
    check_tokenizer,
)
from corruptor.noise import sample_generator
from shards.errors import ConfigError, MissingInputError, UserError
from shards.guard.json_text import read_object
from shards.masks import U8


@dataclass(frozen=True)
class MaskedPipeline:
    """What is particular about one class of pipelines."""

    network: str
    """The part that takes the mask."""
    text_encoders: tuple[str, ...]
    tokenizers: tuple[str, ...]
    steps: int
    guidance: float
    half: torch.dtype
    """What it computes in on a card."""
    multiple: int
    """Pixels, in autoencoder cells, that sides are multiples of."""
    native_size: int = 0
    """Side that it was trained for; 0: what the network's config says."""
    has_negative: bool = True
    others: tuple[str, ...] = ()
    """Parts that are left out."""

    @property
    def folders(self) -> tuple[str, ...]:
        return (self.network, "vae", *self.text_encoders)


MASKED: dict[str, MaskedPipeline] = {
    "StableDiffusionInpaintPipeline": MaskedPipeline(
        "unet", ("text_encoder",), ("tokenizer",), 50, 7.5, torch.float16, 1,
        others=("safety_checker", "feature_extractor", "image_encoder"),
    ),
    "StableDiffusionXLInpaintPipeline": MaskedPipeline(
        "unet", ("text_encoder", "text_encoder_2"), ("tokenizer", "tokenizer_2"), 50, 7.5, torch.float16, 1,
        others=("feature_extractor", "image_encoder"),
    ),
    "FluxFillPipeline": MaskedPipeline(
        "transformer", ("text_encoder", "text_encoder_2"), ("tokenizer", "tokenizer_2"), 50, 30.0, torch.bfloat16, 2,
        native_size=1024, has_negative=False,
    ),
}  # fmt: skip
"""diffusers' class -> how it is loaded and called."""
T5_TOKENIZERS = ("T5Tokenizer", "T5TokenizerFast")
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
TEXT_WEIGHTS = "model"


class MaskedInpainter:
    """An `Inpainter` (see there) of a loaded pipeline. Raises RepairError without mask channels, ConfigError."""

    kind = "masked"

    def __init__(self, pipe: Any, options: FillOptions, **facts: object) -> None:
        self.pipe, self.options = pipe, options
        self.row = MASKED[type(pipe).__name__]
        network = getattr(pipe, self.row.network)
        check_channels(type(pipe).__name__, network.config, pipe.vae.config)
        self.multiple = pipe.vae_scale_factor * self.row.multiple
        self.size = options.size or self.row.native_size or network.config.sample_size * pipe.vae_scale_factor
        if self.size % self.multiple:
            raise ConfigError(f"--size is {self.size}; this model takes multiples of {self.multiple}")
        self.steps, self.guidance = options.steps or self.row.steps, options.guidance or self.row.guidance
        if int(self.steps * options.strength) < 1:
            raise ConfigError(f"--strength {options.strength:g} of {self.steps} steps leaves none; use more of either")
        if options.known != NOISED:
            raise ConfigError(f"--known {options.known} is of blended latents; a model with mask channels takes none")
        if options.negative_prompt and not self.row.has_negative:
            raise ConfigError(f"a {type(pipe).__name__} takes no --negative-prompt; leave it out")
        self.facts: dict[str, object] = {
            "kind": self.kind,
            **facts,
            "steps": self.steps,
            "guidance": self.guidance,
            "strength": options.strength,
            "negative_prompt": options.negative_prompt,
            "size": self.size,
            **told_dtype(options),
        }

    @torch.no_grad()
    def fill(self, images: U8, masks: U8, prompts: Sequence[str], seeds: Sequence[int]) -> U8:
        """As `Inpainter.fill`."""
        height, width = images.shape[1:3]
        words = {"negative_prompt": [self.options.negative_prompt] * len(prompts)} if self.row.has_negative else {}
        with quiet_library("diffusers"):
            found = self.pipe(
                prompt=list(prompts),
                image=[Image.fromarray(one) for one in images],
                mask_image=[Image.fromarray(one * np.uint8(255)) for one in masks],
                height=height,
                width=width,
                strength=self.options.strength,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=[sample_generator(seed) for seed in seeds],
                output_type="np",
                **words,
            ).images
        if not np.isfinite(found).all():
            raise RepairError(f"the inpainter gives no finite numbers in {self.pipe.dtype}; run it on another device")
        filled: U8 = np.rint(np.clip(found, 0, 1) * 255).astype(np.uint8)
        return filled


def check_channels(pipeline: str, config: Any, vae: Any) -> None:
    """That a network takes more than latents. Raises RepairError."""
    packed = 4 if pipeline == "FluxFillPipeline" else 1
    latents = vae.latent_channels * packed
    fitting = (
        config.in_channels > latents + vae.latent_channels if packed > 1 else config.in_channels == 2 * latents + 1
    )
    if not fitting:
        raise RepairError(
            f"a {pipeline} whose network takes {config.in_channels} channels, with latents of {latents}, has no mask "
            "channels: a text-to-image model saved as an inpainting one; save it as what it is, for --kind blended"
        )


def load_pipeline(
    name: str, folder: Path, kind: str, options: FillOptions, device: str, revision: str = ""
) -> MaskedInpainter:
    """An inpainting pipeline of class `kind` onto a device.

    folder: where its model_index.json is. Raises MissingInputError, RepairError, ConfigError.
    """
    row = MASKED[kind]
    found_revision = revision
    if not Path(name).is_dir() and folder.name != Path(name).name:
        found = fetched(name, revision, row)
        folder, found_revision = found.folder, found.revision
    try:
        files = check_folder(folder, row)
        pipe = read(folder, kind, row, device, options.dtype)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingInputError(f"inpainter {name}: {error}") from error
    except Exception as error:  # diffusers, transformers and safetensors raise dozens of types on damaged files
        reason = " ".join(str(error).split())[:300]
        raise RepairError(f"inpainter {name} cannot be loaded: {reason}; fetch or save it again") from error
    return MaskedInpainter(pipe, options, model=name, revision=found_revision, digest=digest_of(folder, files))


def fetched(name: str, revision: str, row: MaskedPipeline) -> Any:
    """A hub id with its weights. Raises MissingInputError."""
    wanted = ["model_index.json", "README.md", "scheduler/*.json"]
    wanted += [f"{part}/*" for part in row.tokenizers]
    for part in row.folders:
        stem = f"{part}/{WEIGHTS.get(part, TEXT_WEIGHTS)}"
        wanted += [f"{part}/config.json", f"{stem}.safetensors", f"{stem}-*.safetensors"]
        wanted.append(f"{stem}.safetensors.index.json")
    try:
        return fetch(name, revision, wanted)
    except FileNotFoundError as error:
        raise MissingInputError(f"inpainter {name}: {error}") from error


def check_folder(folder: Path, row: MaskedPipeline) -> list[Path]:
    """What a folder from outside says, before anything reads it; returns its files that are used.

    Raises FileNotFoundError, ValueError.
    """
    check_index(folder / "model_index.json")
    index = read_object(folder / "model_index.json")
    files = [folder / "model_index.json", folder / "scheduler" / "scheduler_config.json"]
    check_scheduler(files[1])
    for name in (*row.folders, *row.tokenizers):
        if not isinstance(index.get(name), list):
            raise ValueError(f"model_index.json names no {name}")
    for name in row.tokenizers:
        kinds = (*TOKENIZERS, *T5_TOKENIZERS) if (folder / name / "tokenizer.json").is_file() else TOKENIZERS
        check_tokenizer(folder / name, kinds)
        files += sorted(path for path in (folder / name).glob("*") if path.is_file())
    for name in row.folders:
        files += network_files(folder / name, WEIGHTS.get(name, TEXT_WEIGHTS))
    return files


def network_files(folder: Path, stem: str) -> list[Path]:
    """config.json and the safetensors of one network. Raises FileNotFoundError, ValueError."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder.name}/config.json is missing; fetch or save the whole pipeline again")
    check_network(folder / "config.json")
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        return [folder / "config.json", whole]
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder.name}/ has no {whole.name} (pickled .bin weights are not loaded); fetch or save it again"
        )
    pieces = sorted(folder.glob(f"{stem}-*.safetensors"))
    check_pieces(index, pieces)
    return [folder / "config.json", index, *pieces]


def read(folder: Path, kind: str, row: MaskedPipeline, device: str, dtype: str) -> Any:
    """The pipeline, silent; `auto`: in half precision on a card and in float32 on the CPU."""
    import diffusers

    pipeline_class = getattr(diffusers, kind)
    usual = row.half if device.startswith("cuda") else torch.float32
    chosen = usual if dtype == "auto" else getattr(torch, dtype)
    transformers_logging.disable_progress_bar()
    with quiet_library("diffusers"):
        pipe = pipeline_class.from_pretrained(
            folder,
            dtype=chosen,
            use_safetensors=True,
            local_files_only=True,
            **dict.fromkeys(row.others),
        ).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def digest_of(folder: Path, files: Sequence[Path]) -> str:
    """sha256 over names and bytes of files, hex."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder)}\0".encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
