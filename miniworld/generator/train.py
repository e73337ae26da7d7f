"""The recipe, front to back: autoencoder, UNet, then the standard folder.

Each call adds its minutes to what the work folder already holds; a killed call loses at most `save_minutes`. A new work
folder begins with the weights in the output folder, when there are any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from miniworld.generator import state
from miniworld.generator.models import build_tokenizer, build_vae, save_pipeline
from miniworld.generator.plot_log import LOGS, plot_losses
from miniworld.generator.recipe import Recipe
from miniworld.generator.train_unet import Denoiser, train_denoiser
from miniworld.generator.train_vae import train_autoencoder

STAGES = ("auto", "vae", "decoder", "unet")
VAE_SHARE = 0.3
"share of a first call's minutes that the autoencoder gets"


def train(
    minutes: float, work: Path, out: Path, device: str = "auto", stage: str = "auto", recipe: Recipe | None = None
) -> None:
    """Train for about `minutes` of wall clock and write the pipeline folder `out`.

    Raises ValueError for an unknown stage or device, StateError for a folder of another configuration.
    """
    recipe = recipe or Recipe()
    if stage not in STAGES:
        raise ValueError(f"--stage is {stage!r}: choose one of {', '.join(STAGES)}")
    place = pick_device(device)
    state.claim(work, recipe)
    if not any((work / name).exists() for name in ("vae.pt", "unet.pt")) and (out / "model_index.json").exists():
        adopt(out, work)
        _report(f"going on from the weights in {out}")
    # A trained UNet freezes the encoder: its latents must keep their meaning, so only the decoder may change.
    frozen = (work / "latents.pt").exists() or (work / "unet.pt").exists()
    if stage == "vae" and frozen:
        raise ValueError(
            f"the UNet already trains on the latents of {work}: use --stage decoder, or another --work folder"
        )
    if stage in ("vae", "decoder"):
        train_autoencoder(recipe, work, minutes, place, _report, decoder_only=stage == "decoder")
    elif stage == "auto" and not frozen:
        train_autoencoder(recipe, work, minutes * VAE_SHARE, place, _report)
        train_denoiser(recipe, work, minutes * (1 - VAE_SHARE), place, _report)
    else:
        train_denoiser(recipe, work, minutes, place, _report)
    if (work / "unet.pt").exists():
        export(work, out)
        if any((work / name).exists() for name in LOGS):
            plot_losses(work, work / "loss.png")
        _report(f"wrote {out}")


def pick_device(name: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU. Raises ValueError for a device this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device is {name!r}, and this machine shows no CUDA device: use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device is {name!r}: use auto, cpu or cuda") from error


def adopt(weights: Path, work: Path) -> None:
    """Begin a training folder from a finished pipeline folder, whose optimiser states were not kept."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    vae = AutoencoderKL.from_pretrained(weights / "vae", dtype=torch.float32, local_files_only=True)
    tokenizer = build_tokenizer(work / "tokenizer")
    model = Denoiser(len(tokenizer), tokenizer.eos_token_id)
    unet = UNet2DConditionModel.from_pretrained(weights / "unet", dtype=torch.float32, local_files_only=True)
    text = CLIPTextModel.from_pretrained(weights / "text_encoder", local_files_only=True)
    model.unet.load_state_dict(unet.state_dict())
    model.text.load_state_dict(text.state_dict())
    done = json.loads((weights / "training.json").read_text(encoding="utf-8"))
    weights_of_vae, both = vae.state_dict(), model.state_dict()
    state.save(
        work / "vae.pt",
        {
            "vae": weights_of_vae,
            "ema": weights_of_vae,
            "optimiser": None,
            "step": done["vae_iterations"],
            "decoder_only": True,
            "latent_std": 1.0 / float(vae.config.scaling_factor),
        },
    )
    state.save(work / "unet.pt", {"model": both, "ema": both, "optimiser": None, "step": done["unet_iterations"]})


def export(work: Path, out: Path) -> None:
    """Write the averaged weights of a work folder as a standard pipeline folder."""
    known, trained = state.load(work / "vae.pt"), state.load(work / "unet.pt")
    if known is None or trained is None:
        raise state.StateError(f"{work} holds no finished training: run `python -m miniworld train` first")
    vae = build_vae()
    vae.load_state_dict(known["ema"])
    bank = state.load(work / "latents.pt")  # absent where only the decoder was trained further
    vae.register_to_config(scaling_factor=float(bank["scaling_factor"] if bank else 1.0 / known["latent_std"]))
    tokenizer = build_tokenizer(work / "tokenizer")
    model = Denoiser(len(tokenizer), tokenizer.eos_token_id)
    model.load_state_dict(trained["ema"])
    steps = {"vae_iterations": int(known["step"]), "unet_iterations": int(trained["step"])}
    save_pipeline(out, vae, model.unet, model.text, tokenizer, card(work, *steps.values()))
    state.write_text(out / "training.json", json.dumps(steps, indent=1) + "\n")


def card(work: Path, vae_steps: int, unet_steps: int) -> str:
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


def _report(line: str) -> None:
    end, start = ("", "\r\x1b[K") if sys.stderr.isatty() and not line.startswith("wrote") else ("\n", "")
    print(f"{start}{line}", end=end, file=sys.stderr, flush=True)
