"""The recipe, front to back: autoencoder, UNet, then the standard folder.

Each call adds its minutes to what the work folder already holds; a killed call loses at most `save_minutes`. A new work
folder begins with the weights in the output folder, when there are any, else with those that the caller names, if any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from miniworld.generator import state
from miniworld.generator.card import make_card
from miniworld.generator.models import build_flow_scheduler, build_tokenizer, build_vae, save_pipeline
from miniworld.generator.plot_log import LOGS, plot_losses
from miniworld.generator.recipe import FlowRecipe, Recipe
from miniworld.generator.sample import WEIGHTS
from miniworld.generator.train_unet import Denoiser, train_denoiser
from miniworld.generator.train_vae import train_autoencoder
from miniworld.generator.training import pick_device
from shards.errors import ConfigError, MissingInputError, OutputError
from shards.files import explain, make_folder, write_bytes

STAGES = ("auto", "vae", "decoder", "unet")
VAE_SHARE = 0.3
"""Share of a first call's minutes that the autoencoder gets."""


def train(
    minutes: float,
    work: Path,
    out: Path,
    device: str = "auto",
    stage: str = "auto",
    recipe: Recipe | None = None,
    start: Path | None = None,
) -> None:
    """Train for about `minutes` of wall clock and write the pipeline folder `out`.

    Args:
        start: the pipeline folder that a new training begins with where `out` holds none; None: random weights.

    Raises ConfigError (a ValueError) for an unknown stage or device, StateError for a folder of another configuration,
        MissingInputError (a FileNotFoundError) where `start` holds no generator.
    """
    recipe = recipe or Recipe()
    if stage not in STAGES:
        raise ConfigError(f"--stage is {stage!r}: choose one of {', '.join(STAGES)}")
    place = pick_device(device)
    if start is not None and not (start / "model_index.json").exists():
        raise MissingInputError(
            f"--start is {start}, which holds no generator: name a pipeline folder of `world train`"
        )
    make_folder(out)  # before hours of work
    state.claim(work, recipe)
    first = out if (out / "model_index.json").exists() else start
    if first is not None and not any((work / name).exists() for name in ("vae.pt", "unet.pt")):
        adopt(first, work)
        _report(f"starting from the weights in {first}")
    # A trained UNet freezes the encoder: its latents must keep their meaning, so only the decoder may change.
    frozen = (work / "latents.pt").exists() or (work / "unet.pt").exists()
    if stage == "vae" and frozen:
        raise ConfigError(
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


def train_flow(
    minutes: float,
    work: Path,
    out: Path,
    device: str = "auto",
    weights: Path | str = WEIGHTS,
    recipe: FlowRecipe | None = None,
) -> None:
    """Train the flow-matching sibling for about `minutes` and write its folder `out`; the same call again goes on.

    Autoencoder and text are those of `weights`, whose UNet is where the first call begins.

    Raises ConfigError, StateError, MissingInputError.
    """
    recipe, place, weights = recipe or FlowRecipe(), pick_device(device), Path(weights)
    if out.resolve() == weights.resolve():
        raise ConfigError(f"--out is {out}, which holds the generator to begin with: name another folder")
    make_folder(out)
    state.claim(work, recipe)
    if not (work / "unet.pt").exists():
        if not (weights / "model_index.json").exists():
            raise MissingInputError(f"{weights} holds no generator to begin with; train it first, without --flow")
        adopt(weights, work, unet_step=0)
        _report(f"beginning with the weights in {weights}")
    train_denoiser(recipe, work, minutes, place, _report)
    export(work, out, build_flow_scheduler())
    _report(f"wrote {out}")


def adopt(weights: Path, work: Path, unet_step: int | None = None) -> None:
    """Begin a training folder from a finished pipeline folder, whose optimiser states were not kept.

    unet_step: iteration to begin with; None: the one that the folder says.
    """
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
    step = done["unet_iterations"] if unet_step is None else unet_step
    state.save(work / "unet.pt", {"model": both, "ema": both, "optimiser": None, "step": step})


def export(work: Path, out: Path, scheduler: Any = None) -> None:
    """Write the averaged weights of a work folder as a standard pipeline folder. Raises StateError, OutputError.

    scheduler: None takes the one of noise prediction, whose folder has a card as well.
    """
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
    try:
        card = make_card(work, *steps.values()) if scheduler is None else None
        save_pipeline(out, vae, model.unet, model.text, tokenizer, card, scheduler)
    except OutputError:
        raise
    except OSError as error:
        raise explain(error, out) from error
    write_bytes(out / "training.json", (json.dumps(steps, indent=1) + "\n").encode())


def _report(line: str) -> None:
    end, start = ("", "\r\x1b[K") if sys.stderr.isatty() and not line.startswith("wrote") else ("\n", "")
    print(f"{start}{line}", end=end, file=sys.stderr, flush=True)
