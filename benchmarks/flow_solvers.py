"""Other ways along a flow-matching path than Euler's, to compare with: explicit midpoint, and FireFlow.

Both follow the curve better than Euler, and neither is the inverse of Euler's steps, which is what the line goes back
by. Sources: Deng et al. 2024, "FireFlow" (arXiv 2412.07517); Wang et al. 2024, "RF-Solver" (arXiv 2411.04746), which is
of the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def num_passes(moves: Moves, reuse: bool) -> int:
    """Passes that it takes."""
    return len(moves) + 1 if reuse else 2 * len(moves)
