"""Other ways along a flow-matching path than Euler's, to compare with: explicit midpoint, and FireFlow.

Both follow the curve better than Euler, and neither is the inverse of Euler's steps, which is what the line goes back
by. Sources: Deng et al. 2024, "FireFlow" (arXiv 2412.07517); Wang et al. 2024, "RF-Solver" (arXiv 2411.04746), which is
of the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from corruptor.renoise import NoisePredictor
from corruptor.schedule import Schedule

Moves = Sequence[tuple[float, float]]
"""(source, target) timesteps, up or down."""


def midpoint(predict: NoisePredictor, latents: Tensor, schedule: Schedule, moves: Moves, reuse: bool) -> Tensor:
    """Along the moves by the velocity in the middle of each.

    reuse: FireFlow, the way to a middle is by the velocity of the middle before; else it is evaluated anew.
    """
    velocity = None
    for source, target in moves:
        middle = (source + target) / 2
        if velocity is None or not reuse:
            velocity = predict(latents, source)
        a, b = schedule.move(source, middle)
        velocity = predict(a * latents + b * velocity, middle)
        a, b = schedule.move(source, target)
        latents = a * latents + b * velocity
    return latents


def evened(moves: Moves, count: int) -> Moves:
    """The same way in `count` moves, even along the given ones: of a grid with a shift, shifted as it is."""
    levels = [moves[0][0], *(target for _, target in moves)]
    points = np.interp(np.linspace(0, len(moves), count + 1), np.arange(len(levels)), levels).tolist()
    return list(pairwise(points))


def euler(predict: NoisePredictor, latents: Tensor, schedule: Schedule, moves: Moves) -> Tensor:
    """Along the moves by the velocity at the beginning of each."""
    for source, target in moves:
        a, b = schedule.move(source, target)
        latents = a * latents + b * predict(latents, source)
    return latents


def num_passes(moves: Moves, reuse: bool) -> int:
    """Passes that it takes."""
    return len(moves) + 1 if reuse else 2 * len(moves)
