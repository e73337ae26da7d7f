"""Loading and the five things asked of a model, on real diffusers classes at tiny size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor

from corruptor.backbone import Backbone, load_backbone


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_what_it_reads_off_the_model(backbone: Backbone, model_folder: Path) -> None:
    assert (backbone.factor, backbone.latent_channels, backbone.size_multiple) == (4, 8, 8)
    assert backbone.schedule.timestep_of(40) == 181
    assert backbone.model_id == str(model_folder)
    assert backbone.denoiser_dtype == torch.float32
    assert len(backbone.digest()) == 64


def test_encode_and_decode_are_the_vaes(backbone: Backbone, model_folder: Path, images: Tensor) -> None:
    vae = AutoencoderKL.from_pretrained(model_folder, subfolder="vae")
    latents = backbone.encode(images)
    assert (latents.shape, latents.dtype) == ((3, 8, 8, 8), torch.float32)
    with torch.no_grad():
        mode = vae.encode(images.permute(0, 3, 1, 2) / 127.5 - 1.0).latent_dist.mode()
        torch.testing.assert_close(latents, (mode - 0.1) * 0.7, atol=1e-5, rtol=0)
        pixels = (vae.decode(mode).sample / 2 + 0.5).clamp(0, 1) * 255
    decoded = backbone.decode(latents)
    assert (decoded.shape, decoded.dtype) == ((3, 32, 32, 3), torch.uint8)
    assert (decoded - pixels.permute(0, 2, 3, 1)).abs().max() <= 0.51


def test_prompts_are_embedded_as_the_pipeline_does(backbone: Backbone, model_folder: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(model_folder)
    prompts = ["a red face", "", "a car a hand a face a red car a hand a face and a red hand"]
    expected = torch.cat([pipeline.encode_prompt(p, "cpu", 1, False)[0] for p in prompts])
    together = backbone.embed(prompts).hidden_BLD
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=0)
    assert torch.equal(backbone.embed(prompts[::-1]).hidden_BLD.flip(0), together)


def test_noise_prediction_and_exact_counts(backbone: Backbone) -> None:
    latents = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    words, nothing = backbone.embed(["a red face", "car"]), backbone.embed(["", ""])
    backbone.nfe.reset()
    conditional = backbone.predict_noise(latents, 181, words)
    assert (backbone.nfe.calls, backbone.nfe.samples) == (1, 2)
    unconditional = backbone.predict_noise(latents, 181, nothing)
    guided = backbone.predict_noise(latents, 181, words, guidance_scale=3.0)
    assert (backbone.nfe.calls, backbone.nfe.samples) == (3, 8)
    expected = unconditional + 3.0 * (conditional - unconditional)
    torch.testing.assert_close(guided, expected, atol=1e-5, rtol=0)


def test_v_prediction_is_turned_into_noise(v_backbone: Backbone) -> None:
    """With v from the network, z0 = sqrt(abar) z - sqrt(1 - abar) v and the noise must agree on z."""
    latents = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    words = v_backbone.embed(["car"])
    abar = v_backbone.schedule.abar_at(181)
    with torch.no_grad():
        v = v_backbone._denoiser.network(latents, 181, encoder_hidden_states=words.hidden_BLD).sample
    z0 = abar**0.5 * latents - (1 - abar) ** 0.5 * v
    noise = v_backbone.predict_noise(latents, 181, words)
    torch.testing.assert_close(abar**0.5 * z0 + (1 - abar) ** 0.5 * noise, latents, atol=1e-5, rtol=0)


def test_half_weights_on_disk_run_in_float32(model_folder: Path, tmp_path: Path, images: Tensor) -> None:
    half = StableDiffusionPipeline.from_pretrained(model_folder, dtype=torch.float16)
    half.save_pretrained(tmp_path / "half")
    half.save_pretrained(tmp_path / "variant", variant="fp16")
    plain, variant = load_backbone(tmp_path / "half"), load_backbone(tmp_path / "variant")
    assert plain.denoiser_dtype == torch.float32
    assert torch.equal(plain.encode(images), variant.encode(images))
    assert torch.isfinite(plain.predict_noise(torch.zeros(1, 8, 8, 8), 1, plain.embed(["car"]))).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("unet", "unet/ is missing"),
        ("vae/diffusion_pytorch_model.safetensors", r"vae/ has no diffusion_pytorch_model\.safetensors"),
        ("text_encoder/config.json", r"text_encoder/ has no config\.json"),
        ("tokenizer", "tokenizer/ is missing"),
        ("scheduler/scheduler_config.json", r"scheduler/ has no scheduler_config\.json"),
        ("model_index.json", r"has no model_index\.json"),
    ],
)
def test_a_missing_part_is_named(copied: Path, part: str, message: str) -> None:
    victim = copied / part
    if victim.is_dir():
        shutil.rmtree(victim)
    else:
        victim.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load_backbone(copied)


def test_pickled_weights_are_refused(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(FileNotFoundError, match=r"pickled \.bin weights are not loaded"):
        load_backbone(copied)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_not_supported_is_said(copied: Path, images: Tensor, backbone: Backbone) -> None:
    with pytest.raises(FileNotFoundError, match="no model folder /nowhere/at/all"):
        load_backbone("/nowhere/at/all")
    with pytest.raises(ValueError, match="allowed are auto, float32, float16, bfloat16"):
        load_backbone(copied, dtype="float8")
    edit(copied / "scheduler" / "scheduler_config.json", prediction_type="sample")
    with pytest.raises(ValueError, match="prediction_type is 'sample'; allowed are epsilon, v_prediction"):
        load_backbone(copied)
    edit(copied / "model_index.json", _class_name="OtherPipeline")
    with pytest.raises(ValueError, match="'OtherPipeline'; supported are StableDiffusionPipeline"):
        load_backbone(copied)
    with pytest.raises(ValueError, match="36 x 32 pixels; this model needs multiples of 8"):
        backbone.encode(torch.zeros(1, 36, 32, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"needed: uint8 \(B, H, W, 3\)"):
        backbone.encode(images.float())
    with pytest.raises(FloatingPointError, match="NaN"):
        backbone.decode(torch.full((1, 8, 8, 8), float("nan")))
