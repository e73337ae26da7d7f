"""Patch Forensics (Chai et al. 2020): a truncated Xception or ResNet that says of every patch whether it is generated.

The network is cut after a block; a 1 x 1 convolution makes two logits at each place of its map, generated and real.
Names, strides and paddings are those of the authors' files (`make_patch_xceptionnet`, `make_patch_resnet`), which
begin with those of Xception (Chollet 2017, figure 5) and torchvision's ResNets; widths are the file's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from applications.baselines.fit import count_blocks, fit, side
from applications.baselines.pixels import as_pixels
from detector.heat import pick_device
from detector.tensors import Tensors, read_tensors
from detector.transforms import resize_linear
from shards.files import hash_file
from shards.masks import U8

GENERATED = 0
"""The class of generated pictures in the authors' files (their default `fake_class_id`); 1 is real."""
BLOCKS = 12
DOWN = (1, 2, 3, 12)
"""Xception's blocks that halve the map; they repeat twice, the others three times."""
OUT = "convout.weight"
WHAT = "patch classifier (a truncated Xception or ResNet of two classes)"


class PatchForensics:
    """A `detector.heat.Looker` of a truncated classifier: the softmax of the class `generated` of every patch.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    def __init__(self, weights: Path, size: int = 299, device: str = "auto") -> None:
        self.device, self.size = pick_device(device), size
        tensors, _ = read_tensors(weights)
        self.model = load_patches(tensors, weights).to(self.device)
        self.digest = hash_file(weights)

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return resize_linear(image, self.size, self.size)

    @torch.inference_mode()
    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """As of `Looker`."""
        return self.model(as_pixels(prepared, self.device) * 2 - 1).softmax(1)[:, GENERATED].cpu()


def load_patches(tensors: Tensors, path: Path) -> Any:
    """The network that the tensors make. Raises CheckpointError."""
    build = build_xception if any(name.startswith("block1.") for name in tensors) else build_resnet
    return fit(lambda: build(tensors), tensors, path, WHAT)


def build_xception(tensors: Tensors) -> nn.Module:
    """The truncated Xception of these tensors' widths. Raises ValueError."""
    last = max((k for k in range(1, BLOCKS + 1) if any(n.startswith(f"block{k}.") for n in tensors)), default=0)
    stem = [side(tensors, "conv1.weight"), side(tensors, "conv2.weight")]
    # The second convolution of a block that starts without ReLU is the fourth of its parts, else the fifth.
    widths = [side(tensors, f"block{k}.rep.{3 if k == 1 else 4}.pointwise.weight") for k in range(1, last + 1)]
    return xception(stem, widths)


def xception(stem: Sequence[int], widths: Sequence[int]) -> nn.Module:
    """Xception's entry of two convolutions, as many blocks as `widths` has, and two logits at each place."""
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, stem[0], 3, stride=2, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(stem[0]))
    net.add_module("relu1", nn.ReLU())
    net.add_module("conv2", nn.Conv2d(stem[0], stem[1], 3, bias=False))
    net.add_module("bn2", nn.BatchNorm2d(stem[1]))
    net.add_module("relu2", nn.ReLU())
    before = stem[1]
    for k, width in enumerate(widths, 1):
        net.add_module(f"block{k}", SeparableBlock(before, width, k))
        before = width
    net.add_module("convout", nn.Conv2d(before, 2, 1))
    return net


class SeparableBlock(nn.Module):
    """Block k of Xception, k from 1: separable convolutions beside a shortcut, float BCHW in and out."""

    def __init__(self, before: int, after: int, k: int) -> None:
        super().__init__()
        stride = 2 if k in DOWN else 1
        repeats = 2 if stride == 2 else 3
        widths = [before, before, after] if k == BLOCKS else [before, *[after] * repeats]
        parts: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            parts += [nn.ReLU(), separable(wide, narrow), nn.BatchNorm2d(narrow)]
        parts = parts[1:] if k == 1 else parts
        self.rep = nn.Sequential(*parts, *([nn.MaxPool2d(3, 2, 1)] if stride == 2 else []))
        self.plain = before == after and stride == 1
        if not self.plain:
            self.skip = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.skipbn = nn.BatchNorm2d(after)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.rep(maps) + (maps if self.plain else self.skipbn(self.skip(maps)))


def separable(before: int, after: int) -> nn.Module:
    """A 3 x 3 convolution of each channel alone, then one of 1 x 1."""
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False))
    net.add_module("pointwise", nn.Conv2d(before, after, 1, bias=False))
    return net


def build_resnet(tensors: Tensors) -> nn.Module:
    """The truncated ResNet of these tensors' widths and depths, of basic blocks or bottlenecks. Raises ValueError."""
    width = side(tensors, "conv1.weight")
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(width))
    net.add_module("relu", nn.ReLU())
    net.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    before, inner, deep = width, width, "layer1.0.conv3.weight" in tensors
    for stage in range(1, 5):
        depth = count_blocks(tensors, rf"layer{stage}\.(\d+)\.")
        if not depth:
            break
        blocks = []
        for number in range(depth):
            stride = 2 if stage > 1 and number == 0 else 1
            blocks.append(ResidualBlock(before, inner, stride, deep))
            before = inner * 4 if deep else inner
        net.add_module(f"layer{stage}", nn.Sequential(*blocks))
        inner *= 2
    net.add_module("convout", nn.Conv2d(before, 2, 1))
    return net


class ResidualBlock(nn.Module):
    """torchvision's basic block, or its bottleneck (`deep`, stride in the 3 x 3); float BCHW in and out."""

    def __init__(self, before: int, inner: int, stride: int, deep: bool) -> None:
        super().__init__()
        after = inner * 4 if deep else inner
        shapes = [(before, inner, 1, 1), (inner, inner, 3, stride), (inner, after, 1, 1)]
        shapes = shapes if deep else [(before, inner, 3, stride), (inner, after, 3, 1)]
        self.count = len(shapes)
        for k, (wide, narrow, kernel, step) in enumerate(shapes, 1):
            self.add_module(f"conv{k}", nn.Conv2d(wide, narrow, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{k}", nn.BatchNorm2d(narrow))
        self.downsample = None
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = maps
        for k in range(1, self.count + 1):
            found = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(found))
            found = found if k == self.count else found.relu()
        return (found + (maps if self.downsample is None else self.downsample(maps))).relu()
