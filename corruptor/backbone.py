"""The only place that loads a diffusion model and the only one that knows diffusers.

Legend: B images, H and W pixels (images) or latent cells (latents), C colour or latent channels, L tokens,
D embedding width. Images are uint8 BHWC, 0..255; latents are fp32 BCHW whatever the networks compute in.
A family of models is one row of FAMILIES: which parts its folder has, and how prompts become conditioning.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel

from corruptor.schedule import NoiseSchedule

_NUM_CACHED_PROMPTS = 256
_PREDICTION_TYPES = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is told besides latents and timestep; row i belongs to image i."""

    hidden_BLD: Tensor
    """Text encoder states, in the UNet's dtype."""
    added: Mapping[str, Tensor] = field(default_factory=dict)
    """The UNet's `added_cond_kwargs` of families that have them, each (B, ...)."""

    def rows(self, index: Sequence[int]) -> Conditioning:
        """The conditioning of some rows, in that order."""
        rows = list(index)
        return Conditioning(self.hidden_BLD[rows], {name: value[rows] for name, value in self.added.items()})

    @staticmethod
    def join(parts: Sequence[Conditioning]) -> Conditioning:
        """Several conditionings as one batch."""
        names = parts[0].added.keys()
        added = {name: torch.cat([part.added[name] for part in parts]) for name in names}
        return Conditioning(torch.cat([part.hidden_BLD for part in parts]), added)


@dataclass
class NfeCounter:
    """UNet evaluations since the start or the last `reset`: calls, and samples over all calls."""

    calls: int = 0
    samples: int = 0

    def reset(self) -> None:
        """Counts from zero again."""
        self.calls = self.samples = 0

    def snapshot(self) -> tuple[int, int]:
        """(calls, samples) so far."""
        return self.calls, self.samples


@dataclass(frozen=True)
class ModelPart:
    """A network in a folder of its own."""

    model_class: Any
    weights: str
    """Name of the weights file, without `.safetensors`."""
    role: str
    """Which of the dtypes it runs in: `unet`, `vae`, or `text` (always fp32: it is cheap, and mixing fails)."""


@dataclass(frozen=True)
class Family:
    """How one kind of pipeline folder is read."""

    models: Mapping[str, ModelPart]
    tokenizers: tuple[str, ...]
    embed_one: Callable[[Mapping[str, Any], str], Conditioning]
    """(parts, prompt) -> conditioning of one row, fp32."""
    half_vae: torch.dtype
    """What the VAE runs in where the UNet runs in half precision and nothing else is asked for."""


def _embed_clip(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """Last hidden state of one CLIP text encoder, padded to its full length as in training."""
    tokenizer, encoder = parts["tokenizer"], parts["text_encoder"]
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return Conditioning(encoder(tokens.input_ids.to(encoder.device))[0].float())


FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family(
        models={
            "unet": ModelPart(UNet2DConditionModel, "diffusion_pytorch_model", "unet"),
            "vae": ModelPart(AutoencoderKL, "diffusion_pytorch_model", "vae"),
            "text_encoder": ModelPart(CLIPTextModel, "model", "text"),
        },
        tokenizers=("tokenizer",),
        embed_one=_embed_clip,
        half_vae=torch.float16,
    ),
}
"""Families by the `_class_name` in the folder's model_index.json."""


class Backbone:
    """A loaded latent diffusion model behind the five things the method needs of it.

    Attributes: `schedule` (NoiseSchedule, 50 steps), `factor` (pixels a latent cell and side), `latent_channels`,
    `size_multiple` (image sides must be multiples of it), `nfe` (NfeCounter), `model_id`, `revision`.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        family: Family,
        device: torch.device,
        *,
        model_id: str = "",
        revision: str = "",
        folder: Path | None = None,
    ) -> None:
        self.device, self.model_id, self.revision, self.folder = device, model_id, revision, folder
        self._parts, self._family = parts, family
        self._unet, self._vae = parts["unet"], parts["vae"]
        scheduler = parts["scheduler"]
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in _PREDICTION_TYPES:
            raise ValueError(
                f"the scheduler's prediction_type is {self.prediction_type!r}; "
                f"allowed are {', '.join(_PREDICTION_TYPES)}"
            )
        self.latent_channels: int = self._vae.config.latent_channels
        if self._unet.config.in_channels != self.latent_channels:
            raise ValueError(
                f"the UNet takes {self._unet.config.in_channels} channels but the VAE's latents have "
                f"{self.latent_channels}; inpainting and other conditioned UNets are not supported"
            )
        self.factor: int = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.size_multiple: int = self.factor * 2 ** (len(self._unet.config.block_out_channels) - 1)
        abar = tuple(float(value) for value in scheduler.alphas_cumprod.tolist())
        self.schedule = NoiseSchedule(abar, steps_offset=scheduler.config.steps_offset)
        self.nfe = NfeCounter()
        # On the device once: a timestep made from a Python number in the loop would be copied there every pass.
        self._timesteps = torch.arange(len(abar), device=device)
        self._prompts: OrderedDict[str, Conditioning] = OrderedDict()

    @property
    def unet_dtype(self) -> torch.dtype:
        """What the UNet computes in."""
        dtype: torch.dtype = self._unet.dtype
        return dtype

    @torch.no_grad()
    def encode(self, images_BHWC: Tensor) -> Tensor:
        """uint8 images (B, H, W, 3) -> latents fp32 (B, C, H / factor, W / factor): the posterior's mode, scaled.

        Raises ValueError for another dtype or layout, or sides that are no multiples of `size_multiple`.
        """
        if images_BHWC.dtype != torch.uint8 or images_BHWC.ndim != 4 or images_BHWC.shape[3] != 3:
            raise ValueError(
                f"images are {images_BHWC.dtype} of shape {tuple(images_BHWC.shape)}; needed: uint8 (B, H, W, 3)"
            )
        height, width = images_BHWC.shape[1:3]
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"images are {height} x {width} pixels; this model needs multiples of {self.size_multiple}: "
                f"resize or crop them first"
            )
        # Contiguous in and out: with other strides a convolution may round otherwise, and equal work must be equal.
        pixels = (images_BHWC.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1.0).contiguous()
        latents = self._vae.encode(pixels.to(self._vae.dtype)).latent_dist.mode().float()
        return ((latents - self._shift) * self._vae.config.scaling_factor).contiguous()

    @torch.no_grad()
    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Latents fp32 (B, C, h, w) -> uint8 images (B, H, W, 3) on the model's device.

        Raises FloatingPointError where the VAE gives NaN or infinity, which half precision can do.
        """
        latents = latents_BCHW / self._vae.config.scaling_factor + self._shift
        pixels = self._vae.decode(latents.to(self._vae.dtype)).sample.float()
        if not bool(torch.isfinite(pixels).all()):
            raise FloatingPointError(
                f"the latents or the VAE hold NaN or infinity (VAE in {self._vae.dtype}); load with vae_dtype=float32"
            )
        pixels = (pixels.clamp(-1.0, 1.0) + 1.0) * 127.5
        return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """Conditioning of prompts ("" for none), cached by prompt.

        Each prompt is embedded alone: what a row holds must not depend on the others or on what was cached.
        """
        rows = []
        for prompt in prompts:
            if prompt not in self._prompts:
                one = self._family.embed_one(self._parts, prompt)
                added = {name: value.to(self.unet_dtype) for name, value in one.added.items()}
                self._prompts[prompt] = Conditioning(one.hidden_BLD.to(self.unet_dtype), added)
            self._prompts.move_to_end(prompt)
            rows.append(self._prompts[prompt])
            if len(self._prompts) > _NUM_CACHED_PROMPTS:
                self._prompts.popitem(last=False)
        return Conditioning.join(rows)

    @torch.no_grad()
    def predict_noise(
        self, latents_BCHW: Tensor, timestep: int, conditioning: Conditioning, guidance_scale: float = 1.0
    ) -> Tensor:
        """Predicted noise, fp32 (B, C, h, w), whatever the model predicts.

        guidance_scale above 1 is classifier-free guidance against the empty prompt, in one UNet call of twice the
        samples; 1 and below is the plain conditional prediction. v = sqrt(abar) eps - sqrt(1 - abar) z0 (Salimans and
        Ho 2022), hence eps = sqrt(abar) v + sqrt(1 - abar) z_t.
        """
        if guidance_scale <= 1.0:
            output = self._call_unet(latents_BCHW, timestep, conditioning)
        else:
            num = len(latents_BCHW)
            both = Conditioning.join([self.embed([""] * num), conditioning])
            doubled = self._call_unet(latents_BCHW.repeat(2, 1, 1, 1), timestep, both)
            output = doubled[:num] + guidance_scale * (doubled[num:] - doubled[:num])
        if self.prediction_type == "epsilon":
            return output
        abar = self.schedule.abar_at(timestep)
        return float(abar**0.5) * output + float((1.0 - abar) ** 0.5) * latents_BCHW

    def digest(self) -> str:
        """sha256 over the weights and configs on disk, hex; reads every byte, so call it once a run."""
        if self.folder is None:
            raise ValueError("this model was not loaded from a folder")
        total = hashlib.sha256()
        for path in sorted(p for name in self._parts for p in (self.folder / name).glob("*") if p.is_file()):
            total.update(f"{path.relative_to(self.folder).as_posix()}\0".encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()

    @property
    def _shift(self) -> float:
        return float(getattr(self._vae.config, "shift_factor", None) or 0.0)

    def _call_unet(self, latents: Tensor, timestep: int, conditioning: Conditioning) -> Tensor:
        self.nfe.calls += 1
        self.nfe.samples += len(latents)
        output = self._unet(
            latents.to(self.unet_dtype),
            self._timesteps[timestep : timestep + 1],
            encoder_hidden_states=conditioning.hidden_BLD,
            added_cond_kwargs=dict(conditioning.added) or None,
            return_dict=False,
        )[0]
        result: Tensor = output.float()
        return result


def load_backbone(
    folder_or_id: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    vae_dtype: str | torch.dtype = "auto",
    revision: str = "",
    channels_last: bool = False,
) -> Backbone:
    """Loads a Stable-Diffusion-class model in diffusers' folder format, safetensors only.

    Args:
        folder_or_id: a local folder, or a hub id `owner/name`, of which only the needed files are fetched.
        dtype: of the UNet: `float32`, `float16`, `bfloat16`, or `auto`: half precision on a GPU, float32 on the
            CPU, where half precision is slow. Weights on disk may be of any precision.
        vae_dtype: the same for the VAE; `auto` follows the UNet in the half precision that is safe for the family.
        revision: branch, tag or commit of a hub id.
        channels_last: memory layout of UNet and VAE; faster on some machines, equal but for rounding.

    Raises:
        FileNotFoundError: the folder or one of its parts is missing (the message names it).
        ValueError: a family, prediction type or dtype that is not supported.
    """
    target = torch.device(device)
    folder = _resolve(folder_or_id, revision)
    family = _family_of(folder)
    unet_dtype = _dtype(dtype, "dtype", torch.float16 if target.type == "cuda" else torch.float32)
    dtypes = {
        "unet": unet_dtype,
        "vae": _dtype(vae_dtype, "vae_dtype", torch.float32 if unet_dtype == torch.float32 else family.half_vae),
        "text": torch.float32,
    }
    parts: dict[str, Any] = {}
    for name, part in family.models.items():
        model = _load_model(folder, name, part, dtypes[part.role]).to(target).eval().requires_grad_(False)
        laid_out = channels_last and part.role != "text"
        parts[name] = model.to(memory_format=torch.channels_last) if laid_out else model
    for name in family.tokenizers:
        _require(folder, name, ("tokenizer.json", "vocab.json"))
        parts[name] = AutoTokenizer.from_pretrained(folder / name, local_files_only=True)
    _require(folder, "scheduler", ("scheduler_config.json",))
    # Whatever sampler the folder names: its noise schedule, prediction type and offset are read as DDIM's.
    parts["scheduler"] = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    return Backbone(parts, family, target, model_id=str(folder_or_id), revision=revision, folder=folder)


def _resolve(folder_or_id: str | Path, revision: str) -> Path:
    """The local folder; a hub id is fetched, without pickled weights and without code."""
    folder = Path(folder_or_id)
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", str(folder_or_id)):
        raise FileNotFoundError(
            f"no model folder {folder_or_id}: give a folder in diffusers format, or a hub id owner/name"
        )
    wanted = ["model_index.json", "scheduler/*.json"]
    for family in FAMILIES.values():
        wanted += [f"{name}/*" for name in family.tokenizers]
        for name, part in family.models.items():
            stem = f"{name}/{part.weights}"
            wanted += [f"{name}/config.json", f"{stem}.safetensors", f"{stem}-*.safetensors"]
            wanted += [f"{stem}.safetensors.index.json"]
    try:
        return Path(snapshot_download(str(folder_or_id), revision=revision or None, allow_patterns=sorted(set(wanted))))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise FileNotFoundError(
            f"{folder_or_id} is neither a folder here nor could it be fetched from the hub ({type(error).__name__}); "
            f"download it where there is a network and give its folder"
        ) from error


def _family_of(folder: Path) -> Family:
    index = folder / "model_index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} has no model_index.json: it is no pipeline folder in diffusers format; "
            f"save one with save_pretrained"
        )
    name = json.loads(index.read_text()).get("_class_name")
    if name not in FAMILIES:
        raise ValueError(f"{index} names the pipeline {name!r}; supported are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _load_model(folder: Path, name: str, part: ModelPart, dtype: torch.dtype) -> Any:
    """One network in safetensors; a folder saved in a half-precision variant (`.fp16.safetensors`) is read too."""
    _require(folder, name, ("config.json",))
    index, plain = f"{part.weights}.safetensors.index.json", f"{part.weights}.safetensors"
    half = f"{part.weights}.fp16.safetensors"
    _require(folder, name, (plain, half, index))
    variant = "fp16" if not any((folder / name / file).is_file() for file in (plain, index)) else None
    return part.model_class.from_pretrained(
        folder / name, use_safetensors=True, local_files_only=True, variant=variant, dtype=dtype
    )


def _require(folder: Path, name: str, any_of: Sequence[str]) -> None:
    if any((folder / name / file).is_file() for file in any_of):
        return
    what = f"{name}/ is missing" if not (folder / name).is_dir() else f"{name}/ has no {' or '.join(any_of)}"
    hint = ""
    if any((folder / name).glob("*.bin")):
        hint = " (pickled .bin weights are not loaded: convert them with save_pretrained(..., safe_serialization=True))"
    raise FileNotFoundError(f"model folder {folder}: {what}{hint}; fetch or save the whole pipeline again")


def _dtype(value: str | torch.dtype, name: str, auto: torch.dtype) -> torch.dtype:
    if value == "auto":
        return auto
    allowed = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if isinstance(value, torch.dtype) and value in allowed.values():
        return value
    if str(value) not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are auto, {', '.join(allowed)}")
    return allowed[str(value)]
