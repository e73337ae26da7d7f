"""What looking at one picture costs: counted by torch as it runs, not quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from detector.heat import Detector, sides

WIDE = (640, 1137)
"""A picture of 16 to 9, for networks that keep the ratio."""


@dataclass(frozen=True)
class Cost:
    """Of one picture, height x width as the network takes it."""

    height: int
    width: int
    gflops: float
    """Multiplications and additions of matrix products, convolutions and attention, counted apart, times 1e-9."""
    parameters: int


def cost_of(detector: Detector) -> Cost:
    """Run the detector on a grey picture and count."""
    keeps = bool(detector.card.model.get("keep_ratio", False))
    height, width = sides(WIDE if keeps else (1, 1), detector.card.image_size, keeps)
    grey = np.full((height, width, 3), 128, np.uint8)
    model: Any = detector.model
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        detector.look([grey])
    parameters = sum(one.numel() for one in model.parameters())
    return Cost(height, width, counter.get_total_flops() * 1e-9, parameters)
