"""Pictures from the embedded generator: sampling, and the autoencoder's round trip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from miniworld.generator.models import SamplingFlow, hush_libraries
from shards.errors import ConfigError, MissingInputError

WEIGHTS = Path(__file__).parents[1] / "weights"
STEPS = 30
GUIDANCE = 2.5


def load_pipeline(folder: Path | str = WEIGHTS, device: str = "cpu") -> Any:
    """The generator, or its flow-matching sibling, as a StableDiffusionPipeline in float32.

    Raises MissingInputError (a FileNotFoundError) when the folder is incomplete, ConfigError when it cannot be read.
    """
    folder = Path(folder)
    for part in ("model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        if not (folder / part).exists():
            raise MissingInputError(
                f"{folder} holds no generator: {part} is missing; "
                "train one with `python -m miniworld train --minutes 60`"
            )
    hush_libraries()
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusionPipeline

    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, safety_checker=None
        ).to(device)
    except (OSError, ValueError, SafetensorError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"the generator in {folder} cannot be read ({first}): train it anew") from error
    if isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler):
        pipe.scheduler = SamplingFlow.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def check_steps(steps: int | None) -> int:
    """A number of denoising steps, the usual one for None. Raises ConfigError (a ValueError) outside 1..1000."""
    if steps is None:
        return STEPS
    if not 1 <= steps <= 1000:
        raise ConfigError(f"--steps is {steps}: give a whole number from 1 to 1000")
    return steps


def noise_for(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """The starting noise of one picture: a function of its seed alone, float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sample_images(
    pipe: Any,
    captions: Sequence[str],
    seeds: Sequence[int],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    batch: int = 16,
) -> NDArray[np.uint8]:
    """Guided samples, uint8 [N, 64, 64, 3]; picture i depends on captions[i] and seeds[i] alone (to rounding)."""
    out: list[NDArray[np.uint8]] = []
    shape = (pipe.unet.config.in_channels, pipe.unet.config.sample_size, pipe.unet.config.sample_size)
    # Evenly from noise to 1 / steps, as the line goes; the scheduler's own grid spends its last step on s = 0.001.
    own = {"sigmas": np.linspace(1.0, 1.0 / steps, steps).tolist()} if isinstance(pipe.scheduler, SamplingFlow) else {}
    for start in range(0, len(captions), batch):
        words, numbers = list(captions[start : start + batch]), list(seeds[start : start + batch])
        latents = torch.stack([noise_for(n, shape) for n in numbers])
        pictures = pipe(
            words,
            latents=latents,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="np",
            height=4 * shape[1],
            width=4 * shape[2],
            **own,
        ).images
        out.append(np.rint(np.asarray(pictures) * 255).astype(np.uint8))
    return np.concatenate(out)


@torch.no_grad()
def round_trip(pipe: Any, images: NDArray[np.uint8], batch: int = 32) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 3] through the autoencoder and back."""
    out = []
    for start in range(0, len(images), batch):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
        x = part.permute(0, 3, 1, 2).float() / 127.5 - 1
        y = pipe.vae.decode(pipe.vae.encode(x.to(pipe.device)).latent_dist.mode()).sample
        out.append(((y.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(out)
