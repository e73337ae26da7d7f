"""Options of a run of the line: frozen dataclasses of plain values, each field with its meaning below it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from corruptor.config import CorruptionConfig
from corruptor.line.prompt import misspell
from shards.build import LATER
from shards.resize import SizePolicy

DEVICES = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?")
MOST_THREADS, MOST_BATCH, MOST_VARIANTS, MOST_SOURCES, MOST_WORKERS = 1024, 4096, 1000, 100_000, 256
"""Ends of ranges: far beyond any use, near enough for a mistyped number to be named before anything is made."""
DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class SourceConfig:
    """Where the pictures come from."""

    name: str
    """folder, webdataset, shards, miniworld, an entry point of the group blemish.sources, or code of your own as
    FILE.py:NAME (looked for from the working folder, then beside the config) or package.module:NAME."""
    options: dict[str, Any] = field(default_factory=dict)
    """Its arguments."""


@dataclass(frozen=True)
class ModelConfig:
    """The generator that makes the damage."""

    folder: str
    """A pipeline folder in diffusers format (as given, else beside the installed packages), a single .safetensors file,
    or a hub id owner/name."""
    revision: str = ""
    """Branch, tag or commit of a hub id; "" takes the pinned commit of a well-known model."""
    licence: str = ""
    """Copied into each sample; "" takes the model card's."""
    variant: Literal["", "fp16"] = ""
    """fp16 fetches the half-precision weights of a hub id, half as many bytes."""
    config: str = ""
    """For a single file: a folder with model_index.json, configs and tokenizers of its family."""
    vae: str = ""
    """Another VAE in the model's place: a folder or a hub id, such as madebyollin/sdxl-vae-fp16-fix."""
    vae_revision: str = ""
    """The same for its hub id."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """What the denoiser computes in; auto: the family's half precision on a GPU, float32 on the CPU. Latents are always
    float32."""
    vae_dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """What the VAE computes in; auto: half precision where the denoiser is in it, unless the VAE overflows in it."""
    channels_last: bool = False
    """Memory layout of denoiser and VAE; faster on some machines."""
    text_encoders: Literal["auto", "stay", "leave"] = field(default="auto", metadata={LATER: True})
    """Whether text encoders stay on the card or leave it for the CPU's memory after use; auto: those of flow-matching
    models leave."""
    quantise: Literal["", "bnb-8bit", "bnb-4bit", "torchao-int8"] = field(default="", metadata={LATER: True})
    """The denoiser in fewer bits, on a card: bitsandbytes' int8 or nf4, or torchao's int8; needs that library."""


@dataclass(frozen=True)
class RegionConfig:
    """How masks are proposed."""

    policy: str = "blobs"
    """blobs, files, scene, learned, mix, an entry point of the group blemish.region_policies, or code of your own as
    FILE.py:NAME (looked for from the working folder, then beside the config) or package.module:NAME."""
    options: dict[str, Any] = field(default_factory=dict)
    """Its options."""


@dataclass(frozen=True)
class SamplesConfig:
    """What is written for each source picture."""

    num_variants: int = 1
    """Corruptions of each source (other masks, other noise); they share one inversion."""
    clean_share: float = 0.2
    """Share of rows that become clean samples; a source has at most one, hence at most 1 / num_variants."""
    use_captions: bool = True
    """Prompt the model with the source's caption; False: with the empty prompt."""
    prompt: str = "{caption}"
    """The prompt, with {caption} where the caption goes; a picture without a caption has the empty prompt. Without
    {caption} it is the prompt of every picture."""
    misspell: bool = False
    """Shuffle the letters of the lettering that a caption names: text in quotation marks, and words of three or more
    capitals. What the generator makes of it under the mask is lettering, and wrong."""
    source_twin: bool = True
    """Store the VAE round trip of the source beside each image."""
    codec: Literal["webp", "png", "jpg"] = "webp"
    """File format of images, the same for artifact and clean samples; webp and png are lossless."""
    sources_per_shard: int = 64
    """A shard is so many neighbouring items of the source; a killed run loses at most the shards it was working on."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_variants <= MOST_VARIANTS or not 1 <= self.sources_per_shard <= MOST_SOURCES:
            raise ValueError(
                f"num_variants must be 1 to {MOST_VARIANTS} and sources_per_shard 1 to {MOST_SOURCES}, "
                f"got {self.num_variants} and {self.sources_per_shard}"
            )
        if not 0.0 <= self.clean_share <= 1.0 / self.num_variants:
            raise ValueError(
                f"clean_share is {self.clean_share}; with num_variants {self.num_variants} it may be "
                f"0 to {1 / self.num_variants:.3g} (a second clean sample of one source would be a copy)"
            )

    def prompt_of(self, caption: str) -> str:
        """What the model is told of a picture with this caption ("" for none)."""
        if not self.use_captions or ("{caption}" in self.prompt and not caption):
            return ""
        return self.prompt.replace("{caption}", misspell(caption) if self.misspell else caption)


@dataclass(frozen=True)
class ComputeConfig:
    """What may move a pixel by one unit of rounding; part of a run's identity, so that its bytes are defined."""

    device: str = "auto"
    """auto: cuda where there is a card, else cpu. Or cpu, cuda, mps, xpu, and a card by number: cuda:1."""
    num_threads: int = 0
    """Threads of torch on the CPU, to 1024; 0 takes torch's own choice. What it was is written into the manifest."""
    batch_size: int = 16
    """Source pictures a batch, all of one size."""

    def __post_init__(self) -> None:
        if not DEVICES.fullmatch(self.device):
            raise ValueError(f"device is {self.device[:40]!r}; allowed are auto, cpu, cuda, mps, xpu, or one as cuda:1")
        if not 0 <= self.num_threads <= MOST_THREADS or not 1 <= self.batch_size <= MOST_BATCH:
            raise ValueError(
                f"num_threads must be 0 to {MOST_THREADS} and batch_size 1 to {MOST_BATCH}, "
                f"got {self.num_threads} and {self.batch_size}"
            )


@dataclass(frozen=True)
class WorkersConfig:
    """How reading and writing overlap with the model; changes nothing in the samples, so it may change on resume."""

    num_readers: int = 2
    """Threads that read, decode and resize pictures."""
    num_encoders: int = 2
    """Threads that encode samples."""
    num_batches_ahead: int = 2
    """Batches that may wait on either side of the model; bounds the memory."""

    def __post_init__(self) -> None:
        numbers = (self.num_readers, self.num_encoders, self.num_batches_ahead)
        if min(numbers) < 1 or max(numbers) > MOST_WORKERS:
            raise ValueError(
                f"num_readers, num_encoders and num_batches_ahead must be 1 to {MOST_WORKERS}, got {numbers}"
            )


@dataclass(frozen=True)
class LineConfig:
    """A run of the line."""

    source: SourceConfig
    model: ModelConfig
    seed: int = 0
    """All noise, masks and the choice of clean samples follow from it."""
    size: SizePolicy = field(default_factory=SizePolicy)
    """How pictures are brought to the model's size."""
    region: RegionConfig = field(default_factory=RegionConfig)
    """Where they are damaged."""
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    """How."""
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    title: str = ""
    """Title of the dataset card; "" takes what the source says of itself (the embedded one does). A title that comes
    with one of our configs goes when another source is named."""
    licence: str = ""
    """Licence of the run's own samples, for the dataset card; "" likewise."""


CHANGEABLE = ("workers", "title", "licence")
"""Top-level keys that may differ when a run is resumed."""
