"""Models of well-known shapes with random weights, run in ways that are compared: what `benchmarks.gpu` measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from corruptor.backbone import Backbone, Conditioning
from corruptor.families.table import FAMILIES
from corruptor.loading import Loaded
from corruptor.model_zoo import KNOWN
from corruptor.shapes import SHAPES

SIDES = {"sd15": 512, "sd21": 768, "tiny": 32}
"""Pixels, of shapes that are not run at 1024."""
KNOWN_GRIDS = {known.shape: known.flow for known in KNOWN.values() if known.flow is not None}
CLIP_TOKENS, T5_TOKENS, T5_TOKENS_SD3 = 77, 512, 256


@dataclass(frozen=True)
class Way:
    """One way of running a shape."""

    name: str
    channels_last: bool = False
    compiled: str = ""
    """Mode of torch.compile, of denoiser and VAE; "" for none. `reduce-overhead` replays CUDA graphs on a card."""
    vae_half: bool = False
    """The VAE in bfloat16; else in float32."""
    text: bool = True
    """Text encoders are on the device, and each picture's prompt is embedded; else prompts are there already."""
    variants: int = 1
    """Pictures made of one inversion."""


BEFORE = Way("before")
CHANGES: dict[str, Way] = {
    "channels_last": replace(BEFORE, name="channels_last", channels_last=True),
    "compile": replace(BEFORE, name="torch.compile", compiled="default"),
    "graphs": replace(BEFORE, name="torch.compile with CUDA graphs", compiled="reduce-overhead"),
    "vae_half": replace(BEFORE, name="VAE in half precision", vae_half=True),
    "text_off": replace(BEFORE, name="text encoders off", text=False),
    "variants": replace(BEFORE, name="4 variants an inversion", variants=4),
    "all": Way("all of it", channels_last=True, compiled="default", vae_half=True, text=False, variants=4),
}
"""What is changed, each alone and then together."""


def _clip(width: int, layers: int, heads: int, kind: Any = CLIPTextModel) -> tuple[Any, Any, int]:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
    )
    return kind, config, CLIP_TOKENS


def _t5(tokens: int) -> tuple[Any, Any, int]:
    """T5 v1.1 XXL's encoder."""
    config = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu", vocab_size=32128
    )
    return T5EncoderModel, config, tokens


_CLIP_L, _CLIP_G = (768, 12, 12), (1280, 32, 20)
TEXTS: Mapping[str, Sequence[tuple[Any, Any, int]]] = {
    "tiny": (_clip(32, 1, 2),),
    "sd15": (_clip(*_CLIP_L),),
    "sd21": (_clip(1024, 23, 16),),
    "sdxl": (_clip(*_CLIP_L), _clip(*_CLIP_G, CLIPTextModelWithProjection)),
    **dict.fromkeys(
        ("sd35_medium", "sd35_large"),
        (
            _clip(*_CLIP_L, CLIPTextModelWithProjection),
            _clip(*_CLIP_G, CLIPTextModelWithProjection),
            _t5(T5_TOKENS_SD3),
        ),
    ),
    "flux_dev": (_clip(*_CLIP_L), _t5(T5_TOKENS)),
    "flux_schnell": (_clip(*_CLIP_L), _t5(T5_TOKENS_SD3)),
}
"""Text encoders by shape: class, config, tokens of a prompt. Others have none here, and are measured without."""


@dataclass(frozen=True)
class Model:
    """A backbone of a shape, run in a way."""

    backbone: Backbone
    way: Way
    texts: tuple[tuple[Any, int], ...]
    """Encoders on the device, and the tokens that each is given."""

    @property
    def gigabytes(self) -> float:
        """Of all weights."""
        networks = [part for part in self.backbone._parts.values() if isinstance(part, torch.nn.Module)]
        networks += [encoder for encoder, _ in self.texts]
        return sum(p.numel() * p.element_size() for network in networks for p in network.parameters()) / 1e9

    @torch.no_grad()
    def read_prompts(self, count: int) -> None:
        """What embedding `count` prompts takes, one by one as `Backbone.embed` does; none where encoders are off."""
        for _ in range(count):
            for encoder, tokens in self.texts:
                encoder(torch.ones(1, tokens, dtype=torch.int64, device=encoder.device))


def make_model(name: str, way: Way, device: str, dtype: torch.dtype) -> Model:
    """A model of this shape with random weights. What a prompt is to it are fixed random numbers in any way."""
    shape, family = SHAPES[name], FAMILIES[SHAPES[name].family]
    vae_dtype = torch.bfloat16 if way.vae_half else torch.float32
    with torch.device(device):
        torch.manual_seed(0)
        # Past diffusers' own `to`, which warns of layers that these models do not have.
        networks: dict[str, Any] = {
            part: torch.nn.Module.to(family.models[part].model_class.from_config(dict(config)), dtype=own)
            for part, config, own in ((family.denoiser, shape.denoiser, dtype), ("vae", shape.vae, vae_dtype))
        }
        told = TEXTS.get(name, ()) if way.text else ()
        texts = tuple((kind(config).to(dtype).eval().requires_grad_(False), count) for kind, config, count in told)
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    parts: dict[str, Any] = {
        part: network.eval().requires_grad_(False).to(memory_format=layout) for part, network in networks.items()
    }
    flow = KNOWN_GRIDS.get(name)
    if flow is None:
        parts["scheduler"] = DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        )
    blank = family.speak(networks[family.denoiser], family.latents.factor(networks["vae"])).blank_text()

    def embed(parts: Any, prompt: str) -> Conditioning:
        made = torch.Generator().manual_seed(len(prompt))
        return blank.each(lambda value: torch.randn(value.shape, generator=made).to(device))

    row = replace(family, embed_one=embed)
    if flow is not None:
        row = replace(row, schedule_of=lambda parts, num_steps: flow.with_steps(num_steps))
    backbone = Backbone(Loaded(row, parts, {}, zero_negative=False), torch.device(device), model_id=name)
    if way.compiled:
        for network in (networks[family.denoiser], networks["vae"].encoder, networks["vae"].decoder):
            network.compile(mode=way.compiled)
    return Model(backbone, way, texts)


def pictures(side: int, batch: int) -> tuple[Tensor, Tensor]:
    """Random pictures uint8 BHWC, and masks uint8 BHW of a sixteenth of each."""
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, side, side, 3), generator=made, dtype=torch.uint8)
    masks = torch.zeros(batch, side, side, dtype=torch.uint8)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    return images, masks
