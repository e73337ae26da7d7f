"""Stage two of the recipe: UNet and text encoder together, on latents encoded once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from miniworld.generator import state
from miniworld.generator.models import (
    build_text_encoder,
    build_tokenizer,
    build_unet,
    build_vae,
    tokenize,
)
from miniworld.generator.objective import FlowObjective, NoiseObjective, Objective
from miniworld.generator.recipe import Clock, Log, Recipe
from miniworld.generator.training import batches, half_precision, scene_bank, to_tensor, update_average
from miniworld.world.scenes import caption, sample_scene
from miniworld.world.splits import SPLITS

OBJECTIVES: dict[str, Callable[[Recipe, torch.device], Objective]] = {"noise": NoiseObjective, "flow": FlowObjective}
"""By the recipe's name."""


@torch.no_grad()
def latent_bank(recipe: Recipe, work: Path, device: torch.device, report: Callable[[str], None]) -> dict[str, Any]:
    """Latents (float16 [N, 8, 16, 16], unit spread), their scaling factor and caption token ids, made once."""
    path = work / "latents.pt"
    bank = state.load(path)
    if bank is not None:
        return bank
    known = state.load(work / "vae.pt")
    if known is None:
        raise state.StateError(f"{work} holds no autoencoder: train it first (--stage vae)")
    vae = build_vae().to(device)
    vae.load_state_dict(known["ema"])
    vae.to(memory_format=torch.channels_last)
    scale = 1.0 / float(known["latent_std"])
    tokenizer = build_tokenizer(work / "tokenizer")
    scenes = [sample_scene(SPLITS["train"].seed(i)) for i in range(recipe.unet_scenes)]
    pictures = scene_bank(recipe.unet_scenes, work / "scenes.npy")
    latents, ids = [], []
    for start in range(0, recipe.unet_scenes, 64):
        images = to_tensor(pictures[start : start + 64], device)
        with half_precision(recipe, device):
            z = vae.encode(images).latent_dist.mode()
        latents.append((z.float() * scale).half().cpu())
        ids.append(tokenize(tokenizer, [caption(s) for s in scenes[start : start + 64]]).to(torch.uint8))
        if start % 6400 == 0:
            report(f"encoding: {start} of {recipe.unet_scenes} scenes")
    bank = {"latents": torch.cat(latents), "ids": torch.cat(ids), "scaling_factor": scale}
    state.save(path, bank)
    return bank


class Denoiser(torch.nn.Module):
    """UNet and text encoder as one module, so that one average follows both."""

    def __init__(self, vocab_size: int, end_token: int) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text = build_text_encoder(vocab_size, end_token)

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """Predicted noise, or velocity, [B, 8, 16, 16]."""
        words = self.text(ids)[0]
        predicted: Tensor = self.unet(noisy, timesteps, words).sample
        return predicted


def train_denoiser(
    recipe: Recipe, work: Path, minutes: float, device: torch.device, report: Callable[[str], None]
) -> None:
    """Train for `minutes` (wall clock), from the last state if there is one."""
    bank = latent_bank(recipe, work, device, report)
    tokenizer = build_tokenizer(work / "tokenizer")
    empty = tokenize(tokenizer, [""])
    torch.manual_seed(recipe.seed + 1)
    model = Denoiser(len(tokenizer), tokenizer.eos_token_id).to(device)
    model.unet.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        # The fused kernel's backward pass is three times slower here, and its forward pass no faster.
        model.unet.set_attn_processor(AttnProcessor())
        model.text.set_attn_implementation("eager")
    ema = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.unet_lr, betas=(0.9, 0.99), weight_decay=1e-2)
    step, warm = _restore(work / "unet.pt", model, ema, optimiser)
    begun = 0 if warm else step  # a fresh optimiser warms up, also on weights that are far along
    objective = OBJECTIVES[recipe.objective](recipe, device)
    clock, log = Clock(minutes, recipe.unet_cool), Log(work / "unet.jsonl")
    recent = math.nan  # a running mean of the loss

    def save() -> None:
        state.save(
            work / "unet.pt",
            {"model": model.state_dict(), "ema": ema.state_dict(), "optimiser": optimiser.state_dict(), "step": step},
        )

    for picks in batches(np.arange(len(bank["latents"])), recipe.unet_batch, recipe.seed + 1, step):
        rng = torch.Generator().manual_seed(recipe.seed * 9_000_011 + step)
        chosen = torch.from_numpy(np.ascontiguousarray(picks))
        loss = _loss(model, bank, chosen, empty, objective, recipe, rng, device)
        for group in optimiser.param_groups:
            group["lr"] = recipe.unet_lr * clock.rate(step - begun, warmup=200)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        update_average(ema, model, min(recipe.ema, (step + 1) / (step + 20)))
        value = float(loss.detach())
        recent = value if math.isnan(recent) else 0.98 * recent + 0.02 * value
        if step % 50 == 0:
            if not math.isfinite(value):
                raise state.StateError(
                    f"the UNet's loss became {value} at iteration {step}: lower unet_lr; the last good state is kept"
                )
            log.add(step=step, loss=round(recent, 5), minutes=round(clock.minutes(), 2))
            report(f"UNet: iteration {step}, loss {recent:.4f}, {clock.left()}")
        if clock.due(recipe.save_minutes):
            save()
        if clock.over():
            break
    save()


def _loss(
    model: Denoiser,
    bank: dict[str, Any],
    chosen: Tensor,
    empty: Tensor,
    objective: Objective,
    recipe: Recipe,
    rng: torch.Generator,
    device: torch.device,
) -> Tensor:
    z = bank["latents"][chosen].float().to(device)
    ids = bank["ids"][chosen].long()
    dropped = torch.rand(len(ids), generator=rng) < recipe.caption_dropout
    ids = torch.where(dropped[:, None], empty, ids).to(device)
    levels = objective.draw(len(z), rng)
    noise = torch.randn(z.shape, generator=rng).to(device)
    noisy = objective.noised(z, noise, levels).contiguous(memory_format=torch.channels_last)
    with half_precision(recipe, device):
        predicted = model(noisy, levels, ids)
    return objective.loss(predicted.float(), z, noise, levels)


def _restore(path: Path, model: Denoiser, ema: Denoiser, optimiser: torch.optim.Optimizer) -> tuple[int, bool]:
    """Returns the iteration reached, and whether the optimiser's state came with it."""
    known = state.load(path)
    if known is None:
        return 0, False
    model.load_state_dict(known["model"])
    ema.load_state_dict(known["ema"])
    if known["optimiser"]:
        optimiser.load_state_dict(known["optimiser"])
    return int(known["step"]), bool(known["optimiser"])
