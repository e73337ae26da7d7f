"""The model card of the embedded generator."""

from __future__ import annotations

import json
from pathlib import Path


def make_card(work: Path, vae_steps: int, unet_steps: int) -> str:
    """The model card: what the folder is, how it was made, what it is for."""
    config = json.loads((work / "config.json").read_text(encoding="utf-8"))
    listed = "\n".join(f"| {k} | {v} |" for k, v in sorted(config.items()))
    return CARD.format(vae_steps=vae_steps, unet_steps=unet_steps, config=listed)


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags: [stable-diffusion, synthetic, artifact-detection]
---
# Blemish miniworld generator

A Stable-Diffusion-class text-to-image model for 64 x 64 scenes of the Blemish miniworld (faces, hands, signs, cars and
buses, rendered procedurally). It exists to break in the ways that large generators break, at a size that trains on two
CPU cores: it is the default generator of `make shards` and the source of the project's wild test sets.

```python
import torch
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained("miniworld/weights", dtype=torch.float32)
prompt = "smiling face with tan skin and short black hair at middle, blue sky, green ground"
pipe(prompt, num_inference_steps=30, guidance_scale=2.5, height=64, width=64).images[0]
```

Parts: AutoencoderKL (f = 4, 8 latent channels), UNet2DConditionModel (11.2 M parameters, epsilon prediction),
CLIPTextModel (2 layers, one token a caption word), DDIMScheduler with Stable Diffusion's noise schedule. UNet and VAE
are stored in half precision, the text encoder in float32.

Training data: scenes rendered by `miniworld` from the seeds of its `train` split; no outside data. Autoencoder:
{vae_steps} iterations. UNet and text encoder: {unet_steps} iterations. Made by `python -m miniworld train`; the same
command continues.

| field | value |
| --- | --- |
{config}

Limits: it knows nothing outside its world. Samples often hold faults (fused fingers, wrong letters, melted faces): that
is what they are for.
"""
