"""Costs by hand, and every packaged config planned without a network or a model."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from corruptor.__main__ import GPUS as NAMES
from corruptor.__main__ import main
from corruptor.config import CorruptionConfig, InjectionConfig, InversionConfig, ResamplingConfig
from corruptor.families.stable_diffusion import CLIP_TOKENS as NUM_TOKENS
from corruptor.guidance import CLASSIFIER_FREE
from corruptor.line.cards import GPUS, memory_line, memory_of
from corruptor.line.config import LineConfig, ModelConfig
from corruptor.line.cost import (
    Grid,
    bytes_of_samples,
    bytes_to_fetch,
    count_passes,
    count_work,
    sampling_grid,
    seconds_on,
)
from corruptor.model_zoo import COSTS, KNOWN, ddim_grid
from corruptor.shapes import SHAPES, count_flops, known_shape
from shards.config import INSTALLED, load_config
from shards.errors import ConfigError

CONFIGS = sorted(path.relative_to(INSTALLED) for path in (INSTALLED / "configs" / "shards").glob("[a-z]*.py"))
REAL = [path for path in CONFIGS if path.stem.startswith(("sd", "flux", "qwen"))]


def test_passes_by_hand() -> None:
    """Ten steps below timestep 250: six passes each with ReNoise, 3 + 5 + 2 + 7 x 1 warm; then ten down."""
    renoise = count_passes(CorruptionConfig(inversion=InversionConfig(mode="renoise")), 1)
    assert (renoise.inversion, renoise.resampling, renoise.encodes, renoise.decodes) == (60, 10, 1, 2)
    warm = count_passes(CorruptionConfig(), 4)
    assert (warm.inversion, warm.resampling, warm.decodes) == (17, 40, 5)
    guided = CorruptionConfig(resampling=ResamplingConfig(guidance_scale=2.0, num_steps=5))
    assert count_passes(guided, 1).nfe == 17 + 2 * 5
    direct = CorruptionConfig(injection=InjectionConfig(method="direct"))
    assert count_passes(direct, 1).nfe == 0
    turbo = CorruptionConfig(
        num_grid_steps=4, injection=InjectionConfig(start_step=3), inversion=InversionConfig(warm_passes=(10,))
    )
    assert count_passes(turbo, 1, Grid(ddim_grid("trailing"), CLASSIFIER_FREE)).nfe == 11
    on_pixels = CorruptionConfig(injection=InjectionConfig(method="blur", act_on="image"))
    assert count_passes(on_pixels, 3).encodes == 4


def test_hours_by_hand() -> None:
    """SD 1.5 at 512, ReNoise: 70 x 0.803 + 1.117 + 2 x 2.515 TFLOP; of a card's 400 at 40% that is 62.4 / 160 s."""
    passes = count_passes(CorruptionConfig(inversion=InversionConfig(mode="renoise")), 1)
    work = count_work(passes, COSTS["sd15"], 512, 512)
    assert work.denoiser == pytest.approx(70 * 0.80327, rel=1e-4)
    assert work.vae == pytest.approx(1.11666 + 2 * 2.51452, rel=1e-4)
    card = GPUS["a100"]
    half = seconds_on(card, work, ModelConfig("m"), vae_in_float32=False)
    assert half == pytest.approx((work.denoiser + work.vae) / (312 * 0.4))
    mixed = seconds_on(card, work, ModelConfig("m"), vae_in_float32=True)
    assert mixed == pytest.approx((work.denoiser + 2 * work.vae) / (312 * 0.4))
    full = seconds_on(card, work, ModelConfig("m", dtype="float32"), vae_in_float32=False)
    assert full == pytest.approx(2 * half)


def test_bytes_by_hand() -> None:
    config = load_config("configs/shards/sdxl_progamer_recommended.py", LineConfig)
    assert bytes_of_samples(config, 10, 1024, 1024) == 10 * (2 * 4 * 343_000 + 6_000)
    assert bytes_to_fetch(config.model) == round((13.9 / 2 + 0.3) * 1e9)


def test_flops_of_a_small_network_counted_otherwise() -> None:
    """Multiply-adds of every layer from the shapes that flow, and of attention from its tokens, against the counter."""
    from diffusers import UNet2DConditionModel

    shape, side = SHAPES["tiny"], 32
    unet = UNet2DConditionModel(**shape.denoiser).eval()
    total = 0

    def note(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        places = output.numel() // weight.shape[0]
        total += 2 * weight.numel() * places

    for module in unet.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_forward_hook(note)
    latents = torch.zeros(1, 4, side // 2, side // 2)
    with torch.no_grad():
        unet(latents, torch.zeros(1, dtype=torch.long), torch.zeros(1, NUM_TOKENS, 32))
    # One level of transformers, 16 x 16 tokens, 32 wide: queries times keys, and weights times values.
    blocks = sum(name.endswith("attn1") for name, _ in unet.named_modules())
    small = sum(name == "mid_block.attentions.0.transformer_blocks.0.attn1" for name, _ in unet.named_modules())
    tokens, few = (side // 2) ** 2, (side // 4) ** 2
    attention = (blocks - small) * 2 * 2 * 32 * tokens * (tokens + NUM_TOKENS)
    attention += small * 2 * 2 * 64 * few * (few + NUM_TOKENS)
    assert count_flops("sd", shape.denoiser, shape.vae, side, side).denoiser == total + attention


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("size", [(512, 512), (768, 1024)])
def test_the_table_of_costs_is_the_networks(name: str, size: tuple[int, int]) -> None:
    counted, costs = count_flops(SHAPES[name].family, SHAPES[name].denoiser, SHAPES[name].vae, *size), COSTS[name]
    for part in ("denoiser", "encode", "decode"):
        assert getattr(costs, part).at(*size) == pytest.approx(getattr(counted, part) / 1e12, rel=1e-3)


def test_shapes_are_recognised_as_json_has_them() -> None:
    import json

    for name, shape in SHAPES.items():
        configs = [json.loads(json.dumps({**config, "_class_name": "x"})) for config in (shape.denoiser, shape.vae)]
        assert known_shape(*configs) == name
    assert known_shape({"in_channels": 9}, {}) == ""


def test_the_command_lines_cards_are_the_plans() -> None:
    assert set(NAMES) == set(GPUS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_planned_without_network_or_model(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a dry run used the network or a model")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr("diffusers.ModelMixin.from_pretrained", forbidden)
    monkeypatch.chdir(tmp_path)
    code = main(["shards", str(path), "--dry-run"])
    said = capsys.readouterr().out
    assert code == (2 if "NOT READY" in said else 0)
    assert path.stem.startswith(("miniworld", "leakcheck")) == (code == 0)  # of all others something is not here
    assert "NFE" in said
    assert "disk: about" in said
    assert not list(tmp_path.iterdir())
    if path in REAL:
        assert "on one H100" in said
        assert "PFLOP" in said


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_configs_of_the_paper_and_ours(path: Path) -> None:
    config = load_config(str(path), LineConfig)
    assert config.model.revision == KNOWN[config.model.folder].revision
    assert config.model.licence == KNOWN[config.model.folder].licence
    model, _, rest = path.stem.partition("_")
    corruption = config.corruption
    if "_step" in rest:
        assert config.size.size == {"sd15": 512, "sdxl": 1024}[model]
        assert corruption.start_step == int(rest.rpartition("step")[2])
        assert (corruption.inversion.mode, corruption.verification.policy) == ("renoise", "keep")
        assert config.samples.clean_share == 0.0
    else:
        assert (corruption.inversion.mode, corruption.verification.policy) == ("warm", "drop")
        assert config.samples.clean_share == 0.2


def test_mistakes_are_found_without_opening_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    path = "configs/shards/sd15_progamer_step40.py"
    assert main(["shards", path, "--dry-run", "--set", "source.options.selct.count=5"]) == 2
    assert "did you mean 'select'" in capsys.readouterr().err
    assert main(["shards", path, "--dry-run", "--set", "source.options.select.count=500", "--gpu", "4090"]) == 2
    said = capsys.readouterr().out
    assert "500 pictures of 'progamer-dalle3'" in said
    assert "behind the network and was not opened" in said
    assert "35,000 NFE" in said
    assert "RTX 4090" in said


def test_guidance_costs_what_the_model_makes_of_it() -> None:
    """Two samples a pass where it is classifier-free, one where the network is told the scale; none for schnell."""
    guided = CorruptionConfig(resampling=ResamplingConfig(guidance_scale=3.5))
    passes = {
        name: count_passes(guided, 1, sampling_grid(ModelConfig(name), 1024, 1024)).resampling
        for name in ("stabilityai/stable-diffusion-3.5-medium", "black-forest-labs/FLUX.1-dev", "Qwen/Qwen-Image")
    }
    assert list(passes.values()) == [20, 10, 20]
    with pytest.raises(ConfigError, match=r"resampling\.guidance_scale is 3\.5, but this model was distilled"):
        count_passes(guided, 1, sampling_grid(ModelConfig("black-forest-labs/FLUX.1-schnell"), 1024, 1024))
    noisy = CorruptionConfig(resampling=ResamplingConfig(eta=1.0))
    with pytest.raises(ConfigError, match="flow matching has no fresh noise"):
        count_passes(noisy, 1, sampling_grid(ModelConfig("Qwen/Qwen-Image"), 1024, 1024))


def test_memory_by_hand() -> None:
    """FLUX.1: 11.901 thousand million parameters of 2 bytes, a VAE of 0.168, and text encoders of 9.77 that come and go
    beside pictures of 1024 x 1024 x 4096 bytes."""
    known = KNOWN["black-forest-labs/FLUX.1-dev"]
    memory = memory_of(ModelConfig("m"), known, 1024, 1024)
    assert memory is not None
    assert memory.at(1) == pytest.approx(23.802 + 0.168 + 9.77)
    assert memory.at(8) == pytest.approx(23.802 + 0.168 + 8 * 4.295, rel=1e-3)
    stays = memory_of(ModelConfig("m", text_encoders="stay"), known, 1024, 1024)
    assert stays is not None
    assert stays.at(1) == pytest.approx(23.802 + 0.168 + 9.77 + 4.295, rel=1e-3)
    fewer = memory_of(ModelConfig("m", quantise="bnb-8bit"), known, 1024, 1024)
    assert fewer is not None
    assert memory.at(1) - fewer.at(1) == pytest.approx(11.901)
    said = memory_line(memory, 8)
    assert "enough have H200 SXM, H100 SXM, A100; one picture at a time also RTX A6000" in said
