"""Midpoint and FireFlow on a path whose end is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.flow_solvers import evened, midpoint, num_passes
from benchmarks.psnr_nfe import REFERENCE, figures, ways
from corruptor.config import CorruptionConfig, InversionConfig
from corruptor.flow_schedule import FlowSchedule
from corruptor.renoise import invert


def test_both_follow_a_curve_better_than_euler_and_are_counted() -> None:
    """dx/ds = x ends at e^s; from s = 0 to 1/2 in ten steps."""
    schedule, calls = FlowSchedule(20), []

    def velocity(x: torch.Tensor, timestep: float) -> torch.Tensor:
        calls.append(timestep)
        return x

    moves, one = schedule.upward(10), torch.ones(1, dtype=torch.float64)
    euler = abs(float(invert(velocity, one, schedule, 10, InversionConfig(mode="ddim"))[-1]) - math.sqrt(math.e))
    for reuse in (False, True):
        calls.clear()
        error = abs(float(midpoint(velocity, one, schedule, moves, reuse)) - math.sqrt(math.e))
        assert error < euler / 10
        assert len(calls) == num_passes(moves, reuse) == (11 if reuse else 20)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_every_way_takes_the_passes_that_are_told_of_it(shift: float) -> None:
    config = CorruptionConfig(num_grid_steps=50)
    schedule, one = FlowSchedule(50, shift), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    found = ways(config, schedule)
    calls: list[float] = []

    def velocity(x: torch.Tensor, timestep: float) -> torch.Tensor:
        calls.append(timestep)
        return x

    for name, way in found.items():
        calls.clear()
        noisy = way.there(velocity, one, schedule)
        assert len(calls) == way.nfe, name
        calls.clear()
        way.back(velocity, noisy, schedule)
        assert len(calls) == way.nfe_back, name
    assert {way.nfe for name, way in found.items() if "back by" in name} == {12, 13, 20}


def test_another_number_of_steps_keeps_ends_and_shift() -> None:
    moves = FlowSchedule(10, 3.0).upward(4)
    np.testing.assert_allclose(evened(moves, len(moves)), moves)
    finer = evened(moves, 2 * len(moves))
    assert (finer[0][0], finer[-1][1]) == pytest.approx((moves[0][0], moves[-1][1]))
    assert [target for _, target in finer[1::2]] == pytest.approx([target for _, target in moves])


def test_differences_are_paired_and_have_intervals() -> None:
    """Every picture is one dB better, however far pictures are apart."""
    base = np.array([30.0, 40.0, 60.0])
    found = {REFERENCE: (np.full(3, 1e-4), base), "other": (np.full(3, 1e-4), base + 1)}
    rows = figures(found, {REFERENCE: (13, 10), "other": (20, 10)})
    assert rows[1]["ahead"] == "+1.00 (+1.00 to +1.00)"
    assert rows[0]["psnr"].startswith("43.33 (30.00 to 60.00")
    assert rows[0]["latent_psnr"] == pytest.approx(40)
