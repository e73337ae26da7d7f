"""Midpoint and FireFlow on a path whose end is known."""

from __future__ import annotations

import math

import torch

from benchmarks.flow_solvers import midpoint, num_passes
from corruptor.config import InversionConfig
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
