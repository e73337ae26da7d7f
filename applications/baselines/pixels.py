"""Pictures as networks trained on ImageNet take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from shards.masks import U8

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_pixels(pictures: Sequence[U8], device: torch.device) -> torch.Tensor:
    """uint8 HWC pictures of one size -> float BCHW, 0..1, on a device."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


def normalised(pixels_BCHW: torch.Tensor) -> torch.Tensor:
    """0..1 -> mean 0 and standard deviation 1 over ImageNet."""
    mean, spread = (torch.tensor(row, device=pixels_BCHW.device)[:, None, None] for row in (MEAN, SPREAD))
    return (pixels_BCHW - mean) / spread
