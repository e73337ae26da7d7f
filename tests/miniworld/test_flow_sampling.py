"""Pictures from a flow-matching sibling of the generator: the grid, and the path along it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from miniworld.generator.models import (
    LATENT_CHANNELS,
    SamplingFlow,
    build_flow_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    build_vae,
    save_pipeline,
)
from miniworld.generator.sample import load_pipeline, noise_for, sample_images

STEPS = 3
CAPTIONS = ["a face", "a red car"]


@pytest.fixture(scope="module")
def sibling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real networks with random weights."""
    folder: Path = tmp_path_factory.mktemp("flow")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder / "words")
    text = build_text_encoder(len(tokenizer), tokenizer.eos_token_id)
    save_pipeline(folder / "model", build_vae(), build_unet(), text, tokenizer, scheduler=build_flow_scheduler())
    return folder / "model"


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_samples_follow_the_velocity_from_noise_in_even_steps(sibling: Path, guidance: float) -> None:
    pipe = load_pipeline(sibling)
    assert isinstance(pipe.scheduler, SamplingFlow)
    pictures = sample_images(pipe, CAPTIONS, [5, 6], steps=STEPS, guidance=guidance)

    def words(texts: list[str]) -> torch.Tensor:
        told = pipe.tokenizer(texts, padding="max_length", max_length=48, truncation=True, return_tensors="pt")
        return pipe.text_encoder(told.input_ids)[0]

    with torch.no_grad():
        x = torch.stack([noise_for(seed, (LATENT_CHANNELS, 16, 16)) for seed in (5, 6)])
        for s in (1.0, 2 / 3, 1 / 3):
            plain = pipe.unet(x, 1000 * s, words(["", ""])).sample
            v = plain + guidance * (pipe.unet(x, 1000 * s, words(CAPTIONS)).sample - plain)
            x = x - v / STEPS
        decoded = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
    expected = ((decoded / 2 + 0.5).clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(pictures - expected).max() <= 1
    assert pictures.std() > 1
