"""A loaded latent diffusion model behind the five things the method needs of it; nothing else runs one.

Legend: B images, H and W pixels (images) or latent cells (latents), C colour or latent channels, L tokens,
D embedding width. Images are uint8 BHWC, 0..255; latents are fp32 BCHW whatever the networks compute in.
Which parts a kind of model has is data in `families.py`; where its files are is for `hub.py`; `loading.py` loads them.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corruptor.conditioning import Conditioning
from corruptor.families import FAMILIES, check_fit
from corruptor.hub import Located, locate, locate_vae
from corruptor.loading import Loaded, load_parts
from corruptor.schedule import NoiseSchedule
from shards.places import public_text

__all__ = ["FAMILIES", "Backbone", "Conditioning", "NfeCounter", "load_backbone"]

_NUM_CACHED_PROMPTS = 256
_PREDICTION_TYPES = ("epsilon", "v_prediction")


@dataclass
class NfeCounter:
    """UNet evaluations since the start or the last `reset`: calls, and samples over all calls."""

    calls: int = 0
    samples: int = 0

    def reset(self) -> None:
        """Counts from zero again."""
        self.calls = self.samples = 0


class Backbone:
    """A loaded latent diffusion model.

    Attributes: `schedule` (NoiseSchedule on the model's own grid), `factor` (pixels a latent cell and side),
    `latent_channels`, `size_multiple` (image sides must be multiples of it), `nfe` (NfeCounter), `model_id`,
    `revision`, `licence`.
    """

    def __init__(
        self, loaded: Loaded, device: torch.device, *, model_id: str = "", revision: str = "", licence: str = ""
    ) -> None:
        """Raises ValueError where the parts do not belong together or predict something else than noise or v."""
        self.device, self.model_id, self.revision, self.licence = device, model_id, revision, licence
        parts = loaded.parts
        self._parts, self._family, self._files = parts, loaded.family, loaded.files
        self._unet, self._vae, self._zero_negative = parts["unet"], parts["vae"], loaded.zero_negative
        scheduler = parts["scheduler"]
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in _PREDICTION_TYPES:
            raise ValueError(
                f"the scheduler's prediction_type is {self.prediction_type!r}; "
                f"allowed are {', '.join(_PREDICTION_TYPES)}"
            )
        with torch.no_grad():
            check_fit(self._family, self._unet, self._vae, self._family.embed_one(parts, ""))
        self.latent_channels: int = self._vae.config.latent_channels
        self.factor: int = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.size_multiple: int = self.factor * 2 ** (len(self._unet.config.block_out_channels) - 1)
        abar = tuple(float(value) for value in scheduler.alphas_cumprod.tolist())
        self.schedule = NoiseSchedule(
            abar,
            num_steps=self._family.num_grid_steps,
            steps_offset=scheduler.config.steps_offset,
            spacing=self._family.spacing,
        )
        self.nfe = NfeCounter()
        # On the device once: a number made in the loop would be copied there every pass.
        self._timesteps = torch.arange(len(abar), device=device)
        self._size_ids: dict[tuple[int, int], Tensor] = {}
        self._prompts: OrderedDict[str, Conditioning] = OrderedDict()

    @property
    def native_size(self) -> int:
        """Side in pixels of the pictures that the UNet was made for, as its config says."""
        return int(self._unet.config.sample_size) * self.factor

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
                self._prompts[prompt] = one.each(lambda value: value.to(self.unet_dtype))
            self._prompts.move_to_end(prompt)
            rows.append(self._prompts[prompt])
            if len(self._prompts) > _NUM_CACHED_PROMPTS:
                self._prompts.popitem(last=False)
        return Conditioning.join(rows)

    @torch.no_grad()
    def predict_noise(
        self,
        latents_BCHW: Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance_scale: float = 1.0,
        negative_prompt: str = "",
    ) -> Tensor:
        """Predicted noise, fp32 (B, C, h, w), whatever the model predicts.

        guidance_scale above 1 is classifier-free guidance away from the negative prompt (the same for all rows), in
        one UNet call of twice the samples; 1 and below is the plain conditional prediction.
        v = sqrt(abar) eps - sqrt(1 - abar) z0 (Salimans and Ho 2022), hence eps = sqrt(abar) v + sqrt(1 - abar) z_t.
        """
        if guidance_scale <= 1.0:
            output = self._call_unet(latents_BCHW, timestep, conditioning)
        else:
            num = len(latents_BCHW)
            both = Conditioning.join([self._negative(negative_prompt).repeated(num), conditioning])
            doubled = self._call_unet(latents_BCHW.repeat(2, 1, 1, 1), timestep, both)
            output = doubled[:num] + guidance_scale * (doubled[num:] - doubled[:num])
        if self.prediction_type == "epsilon":
            return output
        abar = self.schedule.abar_at(timestep)
        return float(abar**0.5) * output + float((1.0 - abar) ** 0.5) * latents_BCHW

    def digest(self) -> str:
        """sha256 over the weights and configs that were read, hex; reads every byte, so call it once a run.

        Of a model that came from memory (`in_memory.backbone_of`): over its tensors and configs.
        """
        total = hashlib.sha256()
        if not self._files:
            for name, part in sorted(self._parts.items()):
                _add_part(total, name, part)
        for name, path in sorted(self._files.items(), key=lambda pair: Path(pair[0])):
            total.update(f"{name}\0".encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()

    @property
    def _shift(self) -> float:
        return float(getattr(self._vae.config, "shift_factor", None) or 0.0)

    def _negative(self, prompt: str) -> Conditioning:
        """One row. No negative prompt is the empty one, or zeros where the model was trained with those."""
        row = self.embed([prompt])
        return row.each(torch.zeros_like) if self._zero_negative and not prompt else row

    def _added(self, latents: Tensor, conditioning: Conditioning) -> dict[str, Tensor] | None:
        """`added_cond_kwargs`: pooled text, and the picture's size in pixels where the family takes it."""
        added = dict(conditioning.added)
        if self._family.size_ids is not None:
            size = (latents.shape[2] * self.factor, latents.shape[3] * self.factor)
            if size not in self._size_ids:
                self._size_ids[size] = torch.tensor([self._family.size_ids(*size)], device=self.device).float()
            added["time_ids"] = self._size_ids[size].expand(len(latents), -1)
        return added or None

    def _call_unet(self, latents: Tensor, timestep: int, conditioning: Conditioning) -> Tensor:
        self.nfe.calls += 1
        self.nfe.samples += len(latents)
        output = self._unet(
            latents.to(self.unet_dtype),
            self._timesteps[timestep : timestep + 1],
            encoder_hidden_states=conditioning.hidden_BLD,
            added_cond_kwargs=self._added(latents, conditioning),
            return_dict=False,
        )[0]
        result: Tensor = output.float()
        return result


def _add_part(total: Any, name: str, part: Any) -> None:
    """Config and tensors of one part into a sha256; tokenizers have their words instead."""
    if not isinstance(part, torch.nn.Module):
        told = part.get_vocab() if hasattr(part, "get_vocab") else dict(part.config)
        total.update(f"{name}\0{json.dumps(told, sort_keys=True, default=str)}\0".encode())
        return
    for key, value in sorted(part.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        total.update(f"{name}.{key}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        total.update(plain.view(-1).view(torch.uint8).numpy())


def load_backbone(
    folder_or_id: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    vae_dtype: str | torch.dtype = "auto",
    revision: str = "",
    channels_last: bool = False,
    *,
    config: str = "",
    variant: str = "",
    vae: str = "",
    vae_revision: str = "",
) -> Backbone:
    """Loads a model of one of FAMILIES, safetensors only.

    Args:
        folder_or_id: a local folder in diffusers format, a single .safetensors file in the original format, or a hub
            id `owner/name`, of which only the needed files are fetched.
        dtype: of the UNet: `float32`, `float16`, `bfloat16`, or `auto`: half precision on a GPU, float32 on the
            CPU, where half precision is slow. Weights on disk may be of any precision.
        vae_dtype: the same for the VAE; `auto` follows the UNet in the half precision that is safe for the family,
            and is float32 for a VAE that overflows in float16 (SDXL's).
        revision: branch, tag or commit of a hub id; "" takes the pinned commit of a well-known model.
        channels_last: memory layout of UNet and VAE; faster on some machines, equal but for rounding.
        config: for a single file, a local folder with model_index.json, configs and tokenizers of its family.
        variant: `fp16` fetches the half-precision weights of a hub id.
        vae, vae_revision: another VAE in place of the model's: a folder or a hub id, such as the one that is safe in
            float16, madebyollin/sdxl-vae-fp16-fix.

    Raises:
        FileNotFoundError: the model or one of its parts is missing (the message names it, and how to get it).
        ValueError: a family, prediction type or dtype that is not supported, or parts that do not fit each other.
    """
    target = torch.device(device)
    found = locate(folder_or_id, revision, config, variant)
    other = locate_vae(vae, vae_revision) if vae else None
    loaded = load_parts(found, target, dtype, vae_dtype, other)
    if channels_last:
        for name in ("unet", "vae"):
            loaded.parts[name].to(memory_format=torch.channels_last)
    return Backbone(loaded, target, model_id=found.model_id, revision=_revision(found, other), licence=found.licence)


def _revision(found: Located, vae: Located | None) -> str:
    """The model's revision, and which VAE took the place of its own; "" where the digest alone tells."""
    if vae is None or not found.revision:
        return found.revision
    return f"{found.revision} vae {public_text(vae.model_id, 'vae')}" + (f"@{vae.revision}" if vae.revision else "")
