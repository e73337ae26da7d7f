"""The inversion against outputs of ReNoise's own code, where the reference file is at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from corruptor.config import InjectionConfig, InversionConfig, ResamplingConfig
from corruptor.inject import inject
from corruptor.renoise import NoisePredictor, invert
from corruptor.resample import resample
from corruptor.schedule import NoiseSchedule, num_inversion_passes

TOLERANCE = 5e-6
CASES = ("K0_avg", "K1_avg", "K1_last", "K9_avg", "K1_avg_full50")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    path = Path(os.environ.get("BLEMISH_SHARED", beside)) / "fixtures" / "renoise_reference.pt"
    if not path.is_file():
        pytest.skip(f"no reference outputs at {path}; set BLEMISH_SHARED to the folder that holds fixtures/")
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


@pytest.fixture(scope="module")
def unet(reference: dict[str, Any]) -> UNet2DConditionModel:
    model = UNet2DConditionModel(**reference["meta"]["unet_config"])
    model.load_state_dict(reference["unet_state"])
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def schedule(reference: dict[str, Any]) -> NoiseSchedule:
    config = reference["meta"]["sched_config"]
    abar = tuple(DDIMScheduler(**config).alphas_cumprod.tolist())
    return NoiseSchedule(abar, reference["meta"]["num_inference_steps"], config["steps_offset"])


def predictor(unet: UNet2DConditionModel, embeds: Tensor, calls: list[int]) -> NoisePredictor:
    def predict(latents: Tensor, timestep: int) -> Tensor:
        calls.append(len(latents))
        return unet(latents, timestep, encoder_hidden_states=embeds, return_dict=False)[0]

    return predict


def config_of(case: dict[str, Any]) -> InversionConfig:
    told = case["config"]
    return InversionConfig(
        mode="renoise", num_renoise_iterations=told["K"], low_noise_cap=told["cap"], average=told["average"]
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the reference was made."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def resampled_by_diffusers(
    reference: dict[str, Any], unet: UNet2DConditionModel, latents: Tensor, ascending: list[int]
) -> Tensor:
    scheduler = DDIMScheduler(**reference["meta"]["sched_config"])
    scheduler.set_timesteps(reference["meta"]["num_inference_steps"])
    predict = predictor(unet, reference["inputs"]["prompt_embeds"], [])
    for timestep in reversed(ascending):
        latents = scheduler.step(predict(latents, timestep), timestep, latents, eta=0.0).prev_sample
    return latents


def worst(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("name", CASES)
def test_inversion_and_resampling_match(
    name: str, reference: dict[str, Any], unet: UNet2DConditionModel, schedule: NoiseSchedule
) -> None:
    case, inputs = reference["cases"][name], reference["inputs"]
    start_step = schedule.num_steps - len(case["timesteps"])
    assert list(schedule.ascending(start_step)) == case["timesteps"]
    calls: list[int] = []
    predict = predictor(unet, inputs["prompt_embeds"], calls)

    trajectory = invert(predict, inputs["z0"], schedule, start_step, config_of(case))

    assert len(calls) == case["nfe_calls"] == num_inversion_passes(schedule, start_step, config_of(case))
    assert worst(torch.stack(trajectory), case["all_latents"]) <= TOLERANCE
    assert worst(trajectory[-1], case["final"]) <= TOLERANCE
    # From the reference's own latents: down 50 steps this random network amplifies a rounding of 1e-6 some 600 times.
    resampled = resample(predict, case["final"], schedule, start_step, ResamplingConfig())
    by_diffusers = resampled_by_diffusers(reference, unet, case["final"], case["timesteps"])
    assert torch.equal(resampled, by_diffusers)
    # 0 with one thread on the processor of the reference; elsewhere another order of sums is amplified as well.
    elsewhere = worst(by_diffusers, case["resampled"])
    assert worst(resampled, case["resampled"]) <= max(TOLERANCE, elsewhere)
    if start_step:
        from_our_own = resample(predict, trajectory[-1], schedule, start_step, ResamplingConfig())
        assert worst(from_our_own, case["resampled"]) <= TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_three_images_as_one_batch_match(
    name: str, reference: dict[str, Any], unet: UNet2DConditionModel, schedule: NoiseSchedule
) -> None:
    case, inputs = reference["cases"][name], reference["inputs"]
    start_step = schedule.num_steps - len(case["timesteps"])
    z0, embeds = inputs["z0_batch"], inputs["prompt_embeds_batch"]

    together = invert(predictor(unet, embeds, []), z0, schedule, start_step, config_of(case))

    for row in range(3):
        alone = invert(
            predictor(unet, embeds[row : row + 1], []), z0[row : row + 1], schedule, start_step, config_of(case)
        )
        assert worst(together[-1][row : row + 1], alone[-1]) <= TOLERANCE
    # The reference's own image, run as the middle one of the three.
    mixed, mixed_embeds = z0.clone(), embeds.clone()
    mixed[1], mixed_embeds[1] = inputs["z0"][0], inputs["prompt_embeds"][0]
    mixed_run = invert(predictor(unet, mixed_embeds, []), mixed, schedule, start_step, config_of(case))
    assert worst(mixed_run[-1][1:2], case["final"]) <= TOLERANCE


def test_corruption_matches(reference: dict[str, Any], unet: UNet2DConditionModel, schedule: NoiseSchedule) -> None:
    told, inputs = reference["corrupt"], reference["inputs"]
    case = reference["cases"][told["from_case"]]
    predict = predictor(unet, inputs["prompt_embeds"], [])
    z_t = invert(predict, inputs["z0"], schedule, 40, config_of(case))[-1]
    abar = schedule.abar_at(schedule.timestep_of(40))
    assert schedule.timestep_of(40) == told["t"]
    assert abar == pytest.approx(float(told["abar"]), abs=1e-7)

    corrupted = inject(
        z_t, inputs["z0"], inputs["eps"], inputs["mask"][:, 0] > 0.5, (abar**0.5, (1 - abar) ** 0.5), InjectionConfig()
    )

    resampled = resample(predict, corrupted, schedule, 40, ResamplingConfig())
    assert worst(corrupted, told["corrupted"]) <= TOLERANCE
    assert worst(resampled, told["resampled"]) <= TOLERANCE
