"""What a family is: a row of data that names its parts, and how they are spoken to.

Legend: B rows, C latent channels, H and W pixels or latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, DDIMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from corruptor.conditioning import Conditioning, most_tokens
from corruptor.guidance import CLASSIFIER_FREE, Guidance
from corruptor.schedule import Schedule


@dataclass(frozen=True)
class ModelPart:
    """A network in a folder of its own."""

    model_class: Any
    weights: str
    """Name of the weights file, without `.safetensors`."""
    role: str
    """Which of the dtypes it runs in: `denoiser`, `vae` or `text`."""


class Denoiser(Protocol):
    """A network that a family's latents go through, and what it must be called with."""

    network: Any
    cells: int
    """Latent sides must be multiples of it."""
    most_cells: int
    """Latent sides may have so many; 0: any number."""

    def __call__(self, latents_BCHW: Tensor, timestep: Tensor, conditioning: Conditioning, scale: Tensor) -> Tensor:
        """The network's output for latents in its dtype, (B, C, H, W).

        timestep and scale (of guidance) are (1,), on the device; the scale is for networks that are told it.
        """

    def blank_text(self) -> Conditioning:
        """Zeros in place of a text, as long as one is: to count what a pass costs."""

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        """That VAE and text encoders are of the same model. `embedded`: any prompt's. Raises ValueError."""


@dataclass(frozen=True)
class LatentCode:
    """How a VAE's latents become those that the denoiser knows."""

    channels: Callable[[Any], int]
    factor: Callable[[Any], int]
    """Pixels a latent cell and side."""
    encode: Callable[[Any, Tensor], Tensor]
    """(vae, pixels_BCHW in -1..1 in its dtype) -> latents_BCHW fp32: the posterior's mode, scaled."""
    decode: Callable[[Any, Tensor], Tensor]
    """(vae, latents_BCHW fp32) -> pixels_BCHW in -1..1, fp32."""


def _encode_kl(vae: Any, pixels: Tensor) -> Tensor:
    latents: Tensor = vae.encode(pixels).latent_dist.mode().float()
    return (latents - _shift(vae)) * vae.config.scaling_factor


def _decode_kl(vae: Any, latents: Tensor) -> Tensor:
    scaled = latents / vae.config.scaling_factor + _shift(vae)
    pixels: Tensor = vae.decode(scaled.to(vae.dtype)).sample
    return pixels.float()


def _shift(vae: Any) -> float:
    return float(getattr(vae.config, "shift_factor", None) or 0.0)


KL = LatentCode(
    channels=lambda vae: int(vae.config.latent_channels),
    factor=lambda vae: int(2 ** (len(vae.config.block_out_channels) - 1)),
    encode=_encode_kl,
    decode=_decode_kl,
)
"""AutoencoderKL: one scale, and a shift where there is one."""


def classifier_free(plain: Tensor, guided: Tensor, scale: float) -> Tensor:
    """Guidance of Ho and Salimans 2022."""
    return plain + scale * (guided - plain)


@dataclass(frozen=True)
class Text:
    """What a tokenizer is given, and how much of it it takes."""

    length: int = 0
    """Tokens; 0: as many as its text encoder has places for."""
    template: str = "{}"
    """The prompt with the words around it that the model was trained with."""


VAE = ModelPart(AutoencoderKL, "diffusion_pytorch_model", "vae")


@dataclass(frozen=True)
class Family:
    """How one kind of model is read and spoken to."""

    pipeline: str
    """diffusers' pipeline class, the `_class_name` in a folder's model_index.json."""
    in_memory: tuple[str, ...]
    """diffusers' classes of pipelines in memory that have the same parts."""
    num_grid_steps: int
    """Size of the model's own sampling grid: what `Backbone.schedule` has until it is told otherwise."""
    models: Mapping[str, ModelPart]
    tokenizers: Mapping[str, Text]
    embed_one: Callable[[Mapping[str, Any], str], Conditioning]
    """(parts, prompt) -> conditioning of one row, fp32."""
    denoiser: str
    """Name of the part that is the denoiser."""
    speak: Callable[[Any, int], Denoiser]
    """(the denoiser's network, pixels a latent cell) -> what calls it."""
    schedule_of: Callable[[Mapping[str, Any], int], Schedule]
    """(parts, number of grid steps) -> schedule. Raises ValueError for a scheduler that does not fit."""
    mark: tuple[str, str, Any] | None = None
    """(part, key of its config, value) by which the row is told from others of the same pipeline class, "" for the
    pipeline's own config; None is the row that is taken where no other fits."""
    optional: tuple[str, ...] = ()
    """Parts that a model may lack."""
    scheduler_class: Any = DDIMScheduler
    """Whatever sampler a folder names: its config is read as this one's."""
    spacing: str = "leading"
    """Of a DDIM grid; trailing marks the models distilled to a few steps."""
    latents: LatentCode = field(default=KL)
    guidance: Guidance = CLASSIFIER_FREE
    combine: Callable[[Tensor, Tensor, float], Tensor] = classifier_free
    """(output without prompt, output with it, scale) -> guided output; of classifier-free guidance."""
    file_keys: tuple[str, ...] = ()
    """Single .safetensors file: a tensor of each of these prefixes must be in it, and of no other family's. Without
    any, a single file is refused."""
    half: torch.dtype = torch.float16
    """What `dtype` `auto` is for the denoiser on a card."""
    half_vae: torch.dtype = torch.float16
    """What the VAE runs in where the denoiser runs in half precision and nothing else is asked for."""
    half_text: torch.dtype = torch.float32
    """The same for text encoders. fp32 where they are small: it is cheap."""
    text_leaves: bool = False
    """Text encoders leave the card after use where nothing else is asked for: they are as large as the denoiser."""
    heeds_force_upcast: bool = False
    """The VAE's `force_upcast` says that it overflows in float16. Families that set it by default ignore it."""
    zero_negative: bool = False
    """No negative prompt means zeros, not the empty prompt, unless model_index.json has it otherwise."""

    def read_scheduler(self, config: Mapping[str, Any]) -> Any:
        """The scheduler of a config, whatever sampler it names: its schedule is read as this family's.

        Raises ValueError where that is not in it.
        """
        if self.scheduler_class is FlowMatchEulerDiscreteScheduler and "shift" not in config:
            raise ValueError(
                f"the scheduler {config.get('_class_name', '')} has no shift: a {self.pipeline} of this kind needs the "
                f"config of a FlowMatchEulerDiscreteScheduler; fetch the model's scheduler again"
            )
        return self.scheduler_class.from_config(dict(config))

    def is_cut(self, parts: Mapping[str, Any], prompt: str) -> bool:
        """Whether the end of a prompt reaches no text encoder, because it is longer than each takes."""
        for name, text in self.tokenizers.items():
            tokenizer = parts.get(name)
            if tokenizer is None:
                continue
            most = text.length or most_tokens(tokenizer, parts[name.replace("tokenizer", "text_encoder")])
            if len(tokenizer(text.template.format(prompt), verbose=False).input_ids) <= most:
                return False
        return True
