"""Inversion and resampling against a slow restatement of the equations, one number at a time in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from corruptor.config import InversionConfig, ResamplingConfig
from corruptor.flow_schedule import FlowSchedule
from corruptor.noise import sample_generator
from corruptor.regularise import autocorrelation, patch_kl, regularise_noise
from corruptor.renoise import invert
from corruptor.resample import resample
from corruptor.schedule import NoiseSchedule, num_inversion_passes

BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
ABAR = [float(v) for v in np.cumprod(1.0 - BETAS)]
SCHEDULE = NoiseSchedule(tuple(ABAR))


def denoiser(latents: Tensor, timestep: int) -> Tensor:
    """A made-up noise prediction that mixes neighbours and depends on the timestep."""
    neighbours = latents.roll(1, dims=3) - 0.5 * latents.roll(1, dims=1)
    return torch.tanh(0.7 * latents + 0.4 * neighbours + timestep / 1000)


def slow_denoiser(z: np.ndarray, timestep: int) -> np.ndarray:
    out = np.zeros_like(z)
    channels, height, width = z.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                mixed = z[c, y, (x - 1) % width] - 0.5 * z[(c - 1) % channels, y, x]
                out[c, y, x] = math.tanh(0.7 * z[c, y, x] + 0.4 * mixed + timestep / 1000)
    return out


def slow_move(z: np.ndarray, eps: np.ndarray, source: int, target: int) -> np.ndarray:
    """DDIM in its textbook form: predict z0, then noise it to the target."""
    abar_s, abar_t = ABAR[max(source, 0)], ABAR[max(target, 0)]
    z0 = (z - math.sqrt(1 - abar_s) * eps) / math.sqrt(abar_s)
    return math.sqrt(abar_t) * z0 + math.sqrt(1 - abar_t) * eps


def slow_renoise(z0: np.ndarray, num_steps: int, k: int, average: bool) -> np.ndarray:
    z = z0
    for i in range(num_steps):
        t = 1 + 20 * i
        rounds = min(k, 5) if t < 250 else k
        first, last = (0, 5) if t < 250 else (8, 10)
        guess, kept = z, []
        for r in range(rounds + 1):
            eps = slow_denoiser(guess, t)
            if first <= r < last:
                kept.append(eps)
            guess = slow_move(z, eps, t - 20, t)
        if average and kept:
            guess = slow_move(z, sum(kept) / len(kept), t - 20, t)
        z = guess
    return z


def slow_warm(z0: np.ndarray, passes: list[int], extrapolate: bool = False) -> np.ndarray:
    z, known = z0, []
    for i, rounds in enumerate(passes):
        t, guess = 1 + 20 * i, z
        if known:
            line = extrapolate and len(known) > 1
            guess = slow_move(z, 2 * known[-1] - known[-2] if line else known[-1], t - 20, t)
        for _ in range(rounds):
            eps = slow_denoiser(guess, t)
            guess = slow_move(z, eps, t - 20, t)
        known.append(eps)
        z = guess
    return z


@pytest.fixture
def z0() -> Tensor:
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("k", "average"), [(0, True), (1, True), (1, False), (4, True), (9, True), (9, False)])
@pytest.mark.parametrize("num_steps", [10, 16])
def test_renoise_is_the_slow_restatement(z0: Tensor, k: int, average: bool, num_steps: int) -> None:
    config = InversionConfig(mode="renoise", num_renoise_iterations=k, average=average)
    trajectory = invert(denoiser, z0, SCHEDULE, 50 - num_steps, config)
    assert len(trajectory) == num_steps + 1
    assert trajectory[0] is z0
    for row in range(2):
        expected = slow_renoise(z0[row].double().numpy(), num_steps, k, average)
        np.testing.assert_allclose(trajectory[-1][row].numpy(), expected, atol=3e-6)


@pytest.mark.parametrize("extrapolate", [False, True])
def test_warm_start_is_the_slow_restatement(z0: Tensor, extrapolate: bool) -> None:
    config = InversionConfig(mode="warm", warm_passes=(2, 3, 1), extrapolate=extrapolate)
    trajectory = invert(denoiser, z0, SCHEDULE, 40, config)
    expected = slow_warm(z0[0].double().numpy(), [2, 3, 1, 1, 1, 1, 1, 1, 1, 1], extrapolate)
    np.testing.assert_allclose(trajectory[-1][0].numpy(), expected, atol=3e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_guess_on_the_line_of_two_predictions_inverts_a_curve_better_at_equal_passes(shift: float) -> None:
    """dx/ds = x / 2, whose Euler steps back from the end are known; a shifted grid has uneven steps."""
    schedule = FlowSchedule(50, shift)

    def velocity(x: Tensor, timestep: float) -> Tensor:
        return x / 2

    errors = []
    for extrapolate in (False, True):
        by = InversionConfig(warm_passes=(3, 1), extrapolate=extrapolate)
        end = invert(velocity, torch.ones(1, dtype=torch.float64), schedule, 30, by)[-1]
        back = resample(velocity, end[None, None, None], schedule, 30, ResamplingConfig())
        errors.append(abs(float(back) - 1))
    assert errors[1] < errors[0] / 3


def test_numbers_do_not_drift(z0: Tensor) -> None:
    """Sums of |z_t|, from the slow restatement of the day this was written."""
    sums = {}
    for config in (InversionConfig(), InversionConfig(mode="ddim"), InversionConfig(mode="renoise")):
        sums[config.mode] = float(invert(denoiser, z0, SCHEDULE, 40, config)[-1].abs().sum())
    assert sums == pytest.approx({"warm": 86.3214, "ddim": 86.1591, "renoise": 86.2838}, abs=1e-3)


def test_one_pass_a_step_is_diffusers_inverse_scheduler(z0: Tensor) -> None:
    told: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
    scheduler = DDIMInverseScheduler(**told)
    scheduler.set_timesteps(50)
    schedule = NoiseSchedule(tuple(DDIMScheduler(**told).alphas_cumprod.tolist()))
    expected = z0
    for timestep in scheduler.timesteps.tolist()[:10]:
        assert timestep in schedule.ascending(40)
        expected = scheduler.step(denoiser(expected, timestep), timestep, expected).prev_sample
    plain = invert(denoiser, z0, schedule, 40, InversionConfig(mode="ddim"))[-1]
    k0 = invert(denoiser, z0, schedule, 40, InversionConfig(mode="renoise", num_renoise_iterations=0))[-1]
    torch.testing.assert_close(plain, expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(k0, expected, atol=2e-6, rtol=0)


def test_resampling_is_ddim_and_undoes_the_inversion(z0: Tensor) -> None:
    z_t = invert(denoiser, z0, SCHEDULE, 40, InversionConfig(warm_passes=(12,)))[-1]
    back = resample(denoiser, z_t, SCHEDULE, 40, ResamplingConfig())
    expected = z_t[0].double().numpy()
    for timestep in range(181, 0, -20):
        expected = slow_move(expected, slow_denoiser(expected, timestep), timestep, timestep - 20)
    np.testing.assert_allclose(back[0].numpy(), expected, atol=3e-6)
    torch.testing.assert_close(back, z0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_steps", [1, 5, 30])
def test_resampling_steps_can_be_respaced(z0: Tensor, num_steps: int) -> None:
    calls: list[int] = []

    def counted(latents: Tensor, timestep: int) -> Tensor:
        calls.append(timestep)
        return denoiser(latents, timestep)

    resample(counted, z0, SCHEDULE, 40, ResamplingConfig(num_steps=num_steps))
    assert len(calls) == num_steps
    assert calls[0] == 181
    assert calls == sorted(set(calls), reverse=True)
    assert num_steps == 1 or calls[-1] == 1


def test_eta_noise_is_each_samples_own(z0: Tensor) -> None:
    config = ResamplingConfig(eta=0.8)
    together = resample(denoiser, z0, SCHEDULE, 40, config, [sample_generator(seed) for seed in (5, 6)])
    alone = resample(denoiser, z0[1:], SCHEDULE, 40, config, [sample_generator(6)])
    torch.testing.assert_close(together[1:], alone)
    assert (together - resample(denoiser, z0, SCHEDULE, 40, ResamplingConfig())).abs().mean() > 1e-3
    with pytest.raises(ValueError, match="one generator a sample"):
        resample(denoiser, z0, SCHEDULE, 40, config, [sample_generator(5)])


@pytest.mark.parametrize(
    ("config", "passes"),
    [
        (InversionConfig(), 17),
        (InversionConfig(warm_passes=(2, 3, 1)), 13),
        (InversionConfig(warm_passes=(2, 3, 1), extrapolate=True), 13),
        (InversionConfig(mode="ddim"), 10),
        (InversionConfig(mode="renoise", num_renoise_iterations=1), 20),
        (InversionConfig(mode="renoise", num_renoise_iterations=4), 50),
        (InversionConfig(mode="renoise"), 60),
        (InversionConfig(mode="renoise", num_renoise_iterations=4, regularise=True, regularise_num_steps=1), 60),
    ],
)
def test_inversion_costs_what_is_announced(z0: Tensor, config: InversionConfig, passes: int) -> None:
    calls: list[int] = []

    def counted(latents: Tensor, timestep: int) -> Tensor:
        calls.append(timestep)
        return denoiser(latents, timestep)

    z8 = torch.nn.functional.interpolate(z0, size=(8, 8))
    invert(counted, z8, SCHEDULE, 40, config)
    assert len(calls) == num_inversion_passes(SCHEDULE, 40, config) == passes


def test_regularisation_works_on_batches_and_stays_finite() -> None:
    noise = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    noise[1] = 0.25  # flat: no variance anywhere
    noise[2] = noise[2].half().float()
    reference = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    reference[0] = 0.0
    config = InversionConfig(mode="renoise", regularise=True)
    together = regularise_noise(noise, reference, config)
    assert torch.isfinite(together).all()
    for row in range(3):
        alone = regularise_noise(noise[row : row + 1], reference[row : row + 1], config)
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)


def test_regularisation_lowers_each_loss() -> None:
    waves = torch.arange(16.0).sin().expand(1, 4, 16, 16) + 0.5
    reference = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    correlation_alone = InversionConfig(mode="renoise", regularise=True, patch_kl_weight=0.0)
    after = regularise_noise(waves, reference, correlation_alone)
    assert autocorrelation(after, 5) < 0.5 * autocorrelation(waves, 5)
    kl_alone = InversionConfig(mode="renoise", regularise=True, autocorrelation_weight=0.0)
    after = regularise_noise(waves, reference, kl_alone)
    assert patch_kl(after, reference) < 0.9 * patch_kl(waves, reference)


def test_schedule_grid_and_its_errors() -> None:
    assert SCHEDULE.timestep_of(0) == 981
    assert SCHEDULE.timestep_of(40) == 181
    assert SCHEDULE.ascending(47) == (1, 21, 41)
    assert SCHEDULE.descending(47) == (41, 21, 1)
    assert SCHEDULE.abar_at(-19) == ABAR[0]
    with pytest.raises(ValueError, match=r"num_grid_steps is 0; this model allows 1\.\.1000"):
        SCHEDULE.with_steps(0)
    with pytest.raises(ValueError, match="reaches timestep 1000"):
        SCHEDULE.with_steps(1000)
    with pytest.raises(ValueError, match="leaves only 41 timesteps"):
        SCHEDULE.descending(47, 42)
    with pytest.raises(ValueError, match="abar is 0"):
        NoiseSchedule((*ABAR[:-1], 0.0), num_steps=1000, steps_offset=0)
