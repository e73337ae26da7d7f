"""How far a generator's predictions of a clean picture differ, over draws of noise.

Legend: C latent channels, h and w latent cells, H and W pixels, S draws of noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from corruptor.backbone import Backbone
from corruptor.noise import forward_noise

GRID = 50
"""Steps of the grid on which levels of noise are told."""


@torch.no_grad()
def spread_of(
    generator: Backbone,
    image: NDArray[np.uint8],
    prompt: str,
    steps: Sequence[int],
    num_draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """float32 hw: standard deviation over the draws of the predicted clean latents, mean over channels and levels.

    Args:
        image: uint8 HWC. steps: levels of noise, steps of a grid of GRID, 0 = most. num_draws: of noise, a level.
    """
    z0 = generator.encode(torch.from_numpy(np.array(image))[None])
    schedule = generator.schedule.with_steps(GRID).for_size(z0.shape[2], z0.shape[3])
    end = schedule.timestep_of(GRID)
    words = generator.embed([prompt]).repeated(num_draws)
    levels = []
    for step in steps:
        timestep = schedule.timestep_of(step)
        noise = torch.from_numpy(rng.standard_normal((num_draws, *z0.shape[1:]), dtype=np.float32))
        noised = forward_noise(z0, noise.to(z0.device), schedule.factors(timestep))
        direction = generator.predict_noise(noised, timestep, words)
        clean = schedule.step(noised, direction, timestep, end, 0.0)
        levels.append(clean.std(dim=0).mean(dim=0))
    found: NDArray[np.float32] = torch.stack(levels).mean(dim=0).float().cpu().numpy()
    return found


def widened(cells: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """float32 hw -> float32 HW, bilinear."""
    planes = torch.from_numpy(np.asarray(cells, np.float32))[None, None]
    wide = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    found: NDArray[np.float32] = wide[0, 0].numpy()
    return found
