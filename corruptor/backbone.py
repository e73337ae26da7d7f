"""A loaded latent diffusion model behind the five things the method needs of it; nothing else runs one.

Legend: B images, H and W pixels (images) or latent cells (latents), C colour or latent channels, L tokens,
D embedding width. Images are uint8 BHWC, 0..255; latents are fp32 BCHW whatever the networks compute in.
Which parts a kind of model has is data in `families/`; where its files are is for `hub.py`; `loading.py` loads them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corruptor.conditioning import Conditioning
from corruptor.families.table import FAMILIES
from corruptor.guidance import Guidance
from corruptor.hub import Located, locate, locate_vae
from corruptor.loading import Loaded, Precision, load_parts
from corruptor.schedule import Schedule
from shards.places import public_text

__all__ = ["FAMILIES", "Backbone", "Conditioning", "NfeCounter", "load_backbone"]

_NUM_CACHED_PROMPTS = 256


@dataclass
class NfeCounter:
    """Denoiser evaluations since the start or the last `reset`: calls, and samples over all calls."""

    calls: int = 0
    samples: int = 0

    def reset(self) -> None:
        """Counts from zero again."""
        self.calls = self.samples = 0


class Backbone:
    """A loaded latent diffusion model.

    Attributes: `schedule` (Schedule on the model's own grid), `guidance` (what a scale above 1 is to it), `factor`
    (pixels a latent cell and side), `latent_channels`, `size_multiple` (image sides must be multiples of it),
    `most_side` (the longest side it has places for; 0: any), `nfe` (NfeCounter), `model_id`, `revision`, `licence`.
    """

    def __init__(
        self, loaded: Loaded, device: torch.device, *, model_id: str = "", revision: str = "", licence: str = ""
    ) -> None:
        """Raises ValueError where the parts do not belong together or predict something that is not known."""
        self.device, self.model_id, self.revision, self.licence = device, model_id, revision, licence
        parts, family = loaded.parts, loaded.family
        self._parts, self._family, self._files, self._text_leaves = parts, family, loaded.files, loaded.text_leaves
        self._vae, self._zero_negative = parts["vae"], loaded.zero_negative
        self.latent_channels, self.factor = family.latents.channels(self._vae), family.latents.factor(self._vae)
        self._denoiser = family.speak(parts[family.denoiser], self.factor)
        self.schedule: Schedule = family.schedule_of(parts, family.num_grid_steps)
        self.guidance: Guidance = family.guidance
        self.size_multiple: int = self.factor * self._denoiser.cells
        self.most_side: int = self.factor * self._denoiser.most_cells
        self.nfe = NfeCounter()
        # On the device once: a number made in the loop would be copied there every pass.
        self._numbers: dict[tuple[type, float], Tensor] = {}
        self._prompts: OrderedDict[str, Conditioning] = OrderedDict()
        self._text_lock = threading.Lock()  # shared with twins: text encoders may leave the device after use
        self._denoiser.check(self.latent_channels, self.embed(["", "one more"]).rows([0]))

    @property
    def native_size(self) -> int:
        """Side in pixels of the pictures that the denoiser was made for: as its config says, else 1024."""
        cells = self._denoiser.network.config.get("sample_size")
        return int(cells) * self.factor if cells else 1024

    @property
    def denoiser_dtype(self) -> torch.dtype:
        """What the denoiser computes in."""
        dtype: torch.dtype = self._denoiser.network.dtype
        return dtype

    def twin(self) -> Backbone:
        """The same networks for another thread: with counts and prompts of its own."""
        other = copy(self)
        other.nfe, other._prompts, other._numbers = NfeCounter(), OrderedDict(), {}
        return other

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
        return self._family.latents.encode(self._vae, pixels.to(self._vae.dtype)).contiguous()

    @torch.no_grad()
    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Latents fp32 (B, C, h, w) -> uint8 images (B, H, W, 3) on the model's device.

        Raises FloatingPointError where the VAE gives NaN or infinity, which half precision can do.
        """
        pixels = self._family.latents.decode(self._vae, latents_BCHW)
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
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._prompts]
        with self._text_encoders() if new else nullcontext():
            for prompt in new:
                one = self._family.embed_one(self._parts, prompt)
                self._prompts[prompt] = one.each(lambda value: value.to(self.device, self.denoiser_dtype))
        for prompt in prompts:
            self._prompts.move_to_end(prompt)
        rows = [self._prompts[prompt] for prompt in prompts]
        while len(self._prompts) > _NUM_CACHED_PROMPTS:
            self._prompts.popitem(last=False)
        if len({tuple(row.hidden_BLD.shape) for row in rows}) > 1:
            raise ValueError("the model's tokenizer gives prompts of several lengths; fetch its tokenizer again")
        return Conditioning.join(rows)

    def is_cut(self, prompt: str) -> bool:
        """Whether the end of a prompt reaches no text encoder, because it is longer than each takes."""
        return self._family.is_cut(self._parts, prompt)

    @torch.no_grad()
    def predict_noise(
        self,
        latents_BCHW: Tensor,
        timestep: float,
        conditioning: Conditioning,
        guidance_scale: float = 1.0,
        negative_prompt: str = "",
    ) -> Tensor:
        """What the schedule calls the direction, fp32 (B, C, h, w): predicted noise, whatever a diffusion model
        predicts; the velocity of a flow-matching model.

        guidance_scale above 1 is what `guidance` says: mostly classifier-free guidance away from the negative prompt
        (the same for all rows), in one call of twice the samples. 1 and below is the plain conditional prediction.
        """
        scale = max(guidance_scale, 1.0)
        if self.guidance.samples_at(scale) == 1:
            output = self._call(latents_BCHW, timestep, conditioning, scale)
        else:
            num = len(latents_BCHW)
            both = Conditioning.join([self._negative(negative_prompt).repeated(num), conditioning])
            doubled = self._call(latents_BCHW.repeat(2, 1, 1, 1), timestep, both, scale)
            output = self._family.combine(doubled[:num], doubled[num:], guidance_scale)
        return self.schedule.direction(output, latents_BCHW, timestep)

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

    def _negative(self, prompt: str) -> Conditioning:
        """One row. No negative prompt is the empty one, or zeros where the model was trained with those."""
        row = self.embed([prompt])
        return row.each(torch.zeros_like) if self._zero_negative and not prompt else row

    def _call(self, latents: Tensor, timestep: float, conditioning: Conditioning, scale: float) -> Tensor:
        self.nfe.calls += 1
        self.nfe.samples += len(latents)
        numbers = self._number(timestep), self._number(scale)
        return self._denoiser(latents.to(self.denoiser_dtype), numbers[0], conditioning, numbers[1]).float()

    def _number(self, value: float) -> Tensor:
        """A number on the device, (1,): int64 or float32 as it is in Python."""
        key = (type(value), value)  # 1 and 1.0 are one key
        if key not in self._numbers:
            self._numbers[key] = torch.tensor([value], device=self.device)
        return self._numbers[key]

    @contextmanager
    def _text_encoders(self) -> Iterator[None]:
        """Text encoders on the device for as long as prompts are embedded, where they leave it after use."""
        names = [name for name, part in self._family.models.items() if part.role == "text" and name in self._parts]
        moved = names if self._text_leaves else []
        with self._text_lock:
            for name in moved:
                self._parts[name].to(self.device)
            try:
                yield
            finally:
                for name in moved:
                    self._parts[name].to("cpu")


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
    text_encoders: str = "auto",
    quantise: str = "",
) -> Backbone:
    """Loads a model of one of FAMILIES, safetensors only.

    Args:
        folder_or_id: a local folder in diffusers format, a single .safetensors file in the original format, or a hub
            id `owner/name`, of which only the needed files are fetched.
        dtype: of the denoiser: `float32`, `float16`, `bfloat16`, or `auto`: the family's half precision on a GPU,
            float32 on the CPU, where half precision is slow. Weights on disk may be of any precision.
        vae_dtype: the same for the VAE; `auto` follows the denoiser in the half precision that is safe for the family,
            and is float32 for a VAE that overflows in float16 (SDXL's).
        revision: branch, tag or commit of a hub id; "" takes the pinned commit of a well-known model.
        channels_last: memory layout of denoiser and VAE; faster on some machines, equal but for rounding.
        config: for a single file, a local folder with model_index.json, configs and tokenizers of its family.
        variant: `fp16` fetches the half-precision weights of a hub id.
        vae, vae_revision: another VAE in place of the model's: a folder or a hub id, such as the one that is safe in
            float16, madebyollin/sdxl-vae-fp16-fix.
        text_encoders: `stay` on the device, `leave` it after use, or `auto`: leave a card where they are large.
        quantise: one of `corruptor.quantise.KINDS`, or "": the denoiser as it is.

    Raises:
        FileNotFoundError: the model or one of its parts is missing (the message names it, and how to get it).
        ValueError: a family, prediction type or dtype that is not supported, or parts that do not fit each other.
    """
    target = torch.device(device)
    found = locate(folder_or_id, revision, config, variant)
    other = locate_vae(vae, vae_revision) if vae else None
    loaded = load_parts(found, target, Precision(dtype, vae_dtype, quantise), other, text_encoders)
    if channels_last:
        for name in (loaded.family.denoiser, "vae"):
            loaded.parts[name].to(memory_format=torch.channels_last)
    return Backbone(loaded, target, model_id=found.model_id, revision=_revision(found, other), licence=found.licence)


def _revision(found: Located, vae: Located | None) -> str:
    """The model's revision, and which VAE took the place of its own; "" where the digest alone tells."""
    if vae is None or not found.revision:
        return found.revision
    return f"{found.revision} vae {public_text(vae.model_id, 'vae')}" + (f"@{vae.revision}" if vae.revision else "")
