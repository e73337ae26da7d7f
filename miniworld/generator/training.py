"""What both stages of the training share: the device, the pictures, the batches, the running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miniworld.generator.recipe import Recipe
from miniworld.generator.state import StateError
from miniworld.world.render import render
from miniworld.world.scenes import sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError
from shards.files import whole_file


def pick_device(name: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU. Raises ConfigError (a ValueError) for one this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device is {name!r}, and this machine shows no CUDA device: use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device is {name!r}: use auto, cpu or cuda") from error


def half_precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The autocast of a training step: bfloat16 where the recipe wants it and `device` multiplies it in hardware."""
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.bf16 and fast)


def scene_bank(count: int, path: Path) -> np.ndarray[Any, Any]:
    """`count` training scenes as uint8 [N, 64, 64, 3], rendered once and kept beside the state.

    Raises StateError for a damaged file, OutputError where it cannot be kept.
    """
    if path.exists():
        try:
            bank = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise StateError(f"{path} is damaged ({error}): delete it to render it anew") from error
        if len(bank) >= count:
            return bank[:count]
    bank = np.stack([render(sample_scene(SPLITS["train"].seed(i))) for i in range(count)])
    with whole_file(path) as out:
        np.save(out, bank)
    return bank


def to_tensor(images: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """uint8 NHWC to float32 NCHW in -1..1."""
    flat = torch.from_numpy(np.array(images)).to(device)
    return flat.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def batches(bank: np.ndarray[Any, Any], size: int, seed: int, start: int) -> Iterator[np.ndarray[Any, Any]]:
    """Endless batches; the order is a function of seed and iteration alone, so a resumed run continues where it was."""
    step = start
    while True:
        picks = np.random.Generator(np.random.PCG64([seed, step])).integers(0, len(bank), size)
        yield bank[np.sort(picks)]
        step += 1


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place: decay * average + (1 - decay) * model."""
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in model.parameters()], 1 - decay)
