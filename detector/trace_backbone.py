"""What an autoencoder leaves in a picture is a grey level or two deep: a network that looks at little else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional

REACH = (1.0, 4.0)
"""Grey levels beyond which a difference from the surroundings says no more: it is an edge then, not a trace."""


@MODELS.register_module()
class TraceBackbone(BaseModule):
    """Differences from the mean of 3 x 3 pixels, squashed, through convolutions at full resolution.

    Float BCHW of 0..255 in (the config's preprocessor must not scale), a tuple of one float map B, channels, H, W out.
    Forensic detectors begin so, since a network trained on pictures as they are does not find such traces in the time
    that a detector takes to find artifacts (docs/explanation/leak_check.md).
    """

    def __init__(self, channels: int = 24, dilations: Sequence[int] = (1, 1, 2, 4, 1), init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = []
        width = 3 * len(REACH)
        for dilation in dilations:
            conv = nn.Conv2d(width, channels, 3, padding=dilation, dilation=dilation, bias=False)
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
            width = channels
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        around = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        residual = images - around
        return (self.layers(torch.cat([torch.tanh(residual / reach) for reach in REACH], dim=1)),)
