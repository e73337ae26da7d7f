"""Stage one of the recipe: the autoencoder, and later its decoder alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from miniworld.generator import state
from miniworld.generator.models import build_vae
from miniworld.generator.recipe import Clock, Log, Recipe
from miniworld.generator.training import batches, half_precision, scene_bank, to_tensor, update_average


def vary(images: Tensor, rng: torch.Generator) -> Tensor:
    """Half of a batch leaves the world's rules (mirrored, pieces of two scenes, channels exchanged).

    The autoencoder must carry broken pictures as faithfully as valid ones, or it would mend or mark the faults.
    """
    images = images.clone()
    n = len(images)
    for i in range(0, n, 2):
        kind = int(torch.randint(0, 4, (1,), generator=rng))
        if kind == 0:
            images[i] = images[i].flip(-1)
        elif kind == 1:
            images[i] = images[i].flip(-2)
        elif kind == 2:
            images[i] = images[i][torch.randperm(3, generator=rng)]
        other = images[int(torch.randint(0, n, (1,), generator=rng))]
        y, x = (int(v) for v in torch.randint(0, 44, (2,), generator=rng))
        h, w = (int(v) for v in torch.randint(8, 40, (2,), generator=rng))
        if kind != 2:
            images[i, :, y : y + h, x : x + w] = other[:, y : y + h, x : x + w].clone()
    return images


def reconstruction_loss(out: Tensor, target: Tensor) -> Tensor:
    """L1, L1 of the gradients (edges carry the letters) and a square term that hunts the largest errors."""
    d = out.float() - target
    edges = (d[..., 1:, :] - d[..., :-1, :]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()
    return d.abs().mean() + 0.5 * edges + 4.0 * d.square().mean()


@dataclass
class _Training:
    """What one call trains, and how far it is."""

    vae: Any
    ema: Any
    parameters: list[torch.nn.Parameter]
    optimiser: torch.optim.Optimizer
    step: int
    decoder_only: bool
    latent_std: float | None = None
    """Kept while the encoder is: the UNet's latents were scaled by it."""
    begun: int = 0
    """Where the optimiser's state begins: it warms up from there."""


def train_autoencoder(
    recipe: Recipe,
    work: Path,
    minutes: float,
    device: torch.device,
    report: Callable[[str], None],
    decoder_only: bool = False,
) -> None:
    """Train for `minutes` (wall clock), from the last state if there is one.

    With `decoder_only` the encoder stays as it is, so that latents made before remain valid. Raises StateError when the
    loss is no longer finite.
    """
    bank = scene_bank(recipe.vae_scenes, work / "scenes.npy")
    run = _begin(recipe, work / "vae.pt", device, decoder_only)
    clock, log = Clock(minutes), Log(work / "vae.jsonl")
    for images in batches(bank, recipe.vae_batch, recipe.seed, run.step):
        for group in run.optimiser.param_groups:
            group["lr"] = recipe.vae_lr * clock.rate(run.step - run.begun, warmup=100)
        loss = _iterate(run, recipe, to_tensor(images, device), device)
        if run.step % 50 == 0:
            value = float(loss)
            if not math.isfinite(value):
                raise state.StateError(
                    f"the autoencoder's loss became {value} at iteration {run.step}: "
                    "lower vae_lr; the last good state is kept"
                )
            log.add(step=run.step, loss=round(value, 5), minutes=round(clock.minutes(), 2))
            report(f"autoencoder: iteration {run.step}, loss {value:.4f}, {clock.left()}")
        if clock.due(recipe.save_minutes):
            _save(run, work / "vae.pt", bank, device)
        if clock.over():
            break
    _save(run, work / "vae.pt", bank, device)


def _begin(recipe: Recipe, path: Path, device: torch.device, decoder_only: bool) -> _Training:
    torch.manual_seed(recipe.seed)
    vae = build_vae().to(device)
    vae.to(memory_format=torch.channels_last)
    _quiet_variance(vae)
    ema = copy.deepcopy(vae).requires_grad_(False)
    parameters = list(vae.decoder.parameters()) + list(vae.post_quant_conv.parameters())
    if decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    else:
        parameters += list(vae.encoder.parameters()) + list(vae.quant_conv.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=recipe.vae_lr, betas=(0.9, 0.99), weight_decay=1e-4)
    run = _Training(vae, ema, parameters, optimiser, 0, decoder_only)
    known = state.load(path)
    if known:
        # The averaged encoder made the UNet's latents: with the decoder alone, training resumes from the averages.
        vae.load_state_dict(known["ema" if decoder_only and not known["decoder_only"] else "vae"])
        ema.load_state_dict(known["ema"])
        run.latent_std = float(known["latent_std"]) if decoder_only else None
        run.step = int(known["step"])
        if known["optimiser"] and known["decoder_only"] == decoder_only:
            optimiser.load_state_dict(known["optimiser"])
        else:
            run.begun = run.step
    return run


def _iterate(run: _Training, recipe: Recipe, images: Tensor, device: torch.device) -> Tensor:
    """One step of the optimiser on a batch; returns its loss."""
    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + run.step)
    x = vary(images, rng)
    with half_precision(recipe, device):
        z = run.vae.encode(x).latent_dist.mode()
        noisy = z + recipe.latent_noise * torch.randn(z.shape, generator=rng).to(device, z.dtype)
        out = run.vae.decode(noisy).sample
    loss = reconstruction_loss(out, x) + 1e-3 * F.relu(z.float().square().mean() - 1.0)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.parameters, 1.0)
    run.optimiser.step()
    run.step += 1
    update_average(run.ema, run.vae, min(0.998, run.step / (run.step + 10)))
    return loss.detach()


def _save(run: _Training, path: Path, bank: np.ndarray[Any, Any], device: torch.device) -> None:
    state.save(
        path,
        {
            "vae": run.vae.state_dict(),
            "ema": run.ema.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "step": run.step,
            "decoder_only": run.decoder_only,
            "latent_std": run.latent_std or _latent_std(run.ema, bank, device),
        },
    )


def _quiet_variance(vae: Any) -> None:
    """A plain autoencoder: the variance half of the encoder's output is a small constant."""
    half = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[half:] = 0
        vae.quant_conv.bias[half:] = -10.0


@torch.no_grad()
def _latent_std(vae: Any, bank: np.ndarray[Any, Any], device: torch.device) -> float:
    z = vae.encode(to_tensor(bank[:256], device)).latent_dist.mode()
    return float(z.float().std())
