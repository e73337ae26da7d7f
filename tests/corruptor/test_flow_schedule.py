"""The flow grid against diffusers' own scheduler, and the straight path by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

from corruptor.config import CorruptionConfig, InversionConfig, ResamplingConfig
from corruptor.families.flux2 import schedule_of
from corruptor.flow_schedule import DynamicShift, FlowSchedule
from corruptor.renoise import invert
from corruptor.resample import resample

DYNAMIC = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
QWEN = {"shift": 1.0, "use_dynamic_shifting": True, "max_shift": 0.9, "max_image_seq_len": 8192, "shift_terminal": 0.02}


def theirs(config: dict[str, Any], num_steps: int, between_ends: bool, cells: int) -> list[float]:
    """As the pipelines ask for a grid: SD3's names a number of steps, the others give sigmas."""
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    told = scheduler.config
    slope = (told.max_shift - told.base_shift) / (told.max_image_seq_len - told.base_image_seq_len)
    mu = (cells // 2) ** 2 * slope + told.base_shift - slope * told.base_image_seq_len
    more = {"mu": mu} if told.use_dynamic_shifting else {}
    if between_ends:
        scheduler.set_timesteps(num_steps, **more)
    else:
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / num_steps, num_steps), **more)
    return [float(value) for value in scheduler.sigmas]


@pytest.mark.parametrize("num_steps", [4, 28, 50])
@pytest.mark.parametrize("between_ends", [False, True])
@pytest.mark.parametrize(
    "config", [{"shift": 1.0}, {"shift": 3.0}, DYNAMIC, {**DYNAMIC, "time_shift_type": "linear"}, QWEN]
)
def test_the_grid_is_diffusers(config: dict[str, Any], between_ends: bool, num_steps: int) -> None:
    schedule = FlowSchedule.of_config(config, num_steps, between_ends)
    for cells in (32, 128):
        ours = schedule.for_size(cells, cells)
        np.testing.assert_allclose(ours.grid, theirs(config, num_steps, between_ends, cells), atol=2e-7)
        assert ours.timestep_of(num_steps) == 0.0
        assert (ours is schedule) == (not config.get("use_dynamic_shifting"))


def test_shifts_by_hand() -> None:
    """3 s / (1 + 2 s), and mu on the line through (256, 0.5) and (4096, 1.15)."""
    assert FlowSchedule(4, 3.0).grid == pytest.approx((1.0, 0.9, 0.75, 0.5, 0.0))
    shift = DynamicShift()
    assert [shift.mu(tokens, 28) for tokens in (256, 4096, 2176)] == pytest.approx([0.5, 1.15, 0.825])


@pytest.mark.parametrize("cells", [32, 128, 160])
@pytest.mark.parametrize("num_steps", [4, 16, 50])
def test_flux2_shifts_by_tokens_and_steps(cells: int, num_steps: int) -> None:
    """As its pipeline computes mu; 160 cells are more than 4,300 tokens."""
    parts = {"scheduler": FlowMatchEulerDiscreteScheduler(**DYNAMIC)}
    ours = schedule_of(parts, num_steps).for_size(cells, cells)
    mu = compute_empirical_mu((cells // 2) ** 2, num_steps)
    parts["scheduler"].set_timesteps(sigmas=np.linspace(1.0, 1 / num_steps, num_steps), mu=mu)
    np.testing.assert_allclose(ours.grid, parts["scheduler"].sigmas.numpy(), atol=2e-7)
    static = {"scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0)}
    assert schedule_of(static, 4).grid == pytest.approx((1.0, 0.9, 0.75, 0.5, 0.0))


def test_the_path_by_hand() -> None:
    """x_s = (1 - s) x0 + s eps; a step goes along the velocity, by the difference of s."""
    schedule = FlowSchedule(4)
    assert schedule.upward(2) == ((0.0, 250.0), (250.0, 500.0))
    assert schedule.downward(2) == ((500.0, 250.0), (250.0, 0.0))
    assert schedule.downward(1, 2) == ((750.0, 250.0), (250.0, 0.0))
    assert schedule.downward(2, 1) == ((500.0, 0.0),)
    assert schedule.factors(250.0) == (0.75, 0.25)
    assert schedule.move(250.0, 750.0) == (1.0, 0.5)
    x0, eps = torch.tensor([2.0]), torch.tensor([-1.0])
    assert schedule.step(0.5 * x0 + 0.5 * eps, eps - x0, 500.0, 0.0, 0.0).tolist() == [2.0]


def test_euler_inversion_undoes_euler_at_the_fixed_point() -> None:
    """A velocity that bends: one pass a step misses, the fixed point of every step comes back."""
    x0 = torch.linspace(-1, 1, 12).reshape(1, 3, 2, 2)

    def velocity(x: torch.Tensor, timestep: float) -> torch.Tensor:
        return torch.sin(2 * x) + timestep / 1000

    def lost(config: InversionConfig) -> float:
        schedule = FlowSchedule(20, 3.0)
        x_s = invert(velocity, x0, schedule, 12, config)[-1]
        return float((resample(velocity, x_s, schedule, 12, ResamplingConfig()) - x0).abs().max())

    assert lost(InversionConfig(mode="warm", warm_passes=(20,))) < 1e-5
    assert lost(InversionConfig(mode="renoise", average=False, num_renoise_iterations=20, low_noise_cap=20)) < 1e-5
    assert lost(InversionConfig(mode="ddim")) > 1e-2


def test_what_flow_cannot_do_is_one_line() -> None:
    schedule = FlowSchedule()
    with pytest.raises(ValueError, match=r"resampling\.eta is 0\.5, but flow matching has no fresh noise"):
        schedule.check(CorruptionConfig(resampling=ResamplingConfig(eta=0.5)))
    regularised = InversionConfig(mode="renoise", regularise=True)
    with pytest.raises(ValueError, match=r"inversion\.regularise is on, but this model predicts a velocity"):
        schedule.check(CorruptionConfig(inversion=regularised))
    for name in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas"):
        with pytest.raises(ValueError, match=f"config has {name}, which is not supported"):
            FlowSchedule.of_config({"shift": 1.0, name: True}, 4)
    with pytest.raises(ValueError, match=r"num_grid_steps is 1; this model allows 2\.\.1000"):
        FlowSchedule(1, shift_terminal=0.02)
    with pytest.raises(ValueError, match="shift is 0"):
        FlowSchedule(4, 0.0)
    with pytest.raises(ValueError, match=r"shift is 900 for a picture of 4096 tokens; it must be above -100"):
        FlowSchedule.of_config({**DYNAMIC, "max_shift": 900.0}, 4)
    with pytest.raises(ValueError, match=r"shift is -1 for a picture of 4096 tokens; it must be above 0"):
        FlowSchedule.of_config({**DYNAMIC, "max_shift": -1.0, "time_shift_type": "linear"}, 4)
    with pytest.raises(ValueError, match="time_shift_type is 'cubic'"):
        FlowSchedule.of_config({**DYNAMIC, "time_shift_type": "cubic"}, 4)
