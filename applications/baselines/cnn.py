"""CNNgenerates (Wang et al. 2020) with Grad-CAM (Selvaraju et al. 2017): a ResNet, real against generated.

The classifier says how likely a picture is generated, Grad-CAM where it looks: the gradient of the logit, averaged over
the last stage, weighs that stage's maps; what is below 0 is cut, the largest value becomes the probability.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from applications.baselines.fit import count_blocks, fit, side
from applications.baselines.pixels import as_pixels, normalised
from detector.heat import pick_device
from detector.tensors import Tensors, read_tensors
from detector.transforms import resize_linear
from shards.files import hash_file
from shards.masks import U8

NAMES = (
    (r"^(module\.|model\.)+", ""),
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^layer(\d)\.(\d+)\.downsample\.0\.", r"resnet.encoder.stages.<\1>.layers.\2.shortcut.convolution."),
    (r"^layer(\d)\.(\d+)\.downsample\.1\.", r"resnet.encoder.stages.<\1>.layers.\2.shortcut.normalization."),
    (r"^layer(\d)\.(\d+)\.conv(\d)\.", r"resnet.encoder.stages.<\1>.layers.\2.layer.<\3>.convolution."),
    (r"^layer(\d)\.(\d+)\.bn(\d)\.", r"resnet.encoder.stages.<\1>.layers.\2.layer.<\3>.normalization."),
    (r"^fc\.", "classifier.1."),
)
"""torchvision's names -> transformers'; a number in <> counts from 1."""
STEM = "resnet.embedder.embedder.convolution.weight"
WHAT = "ResNet of bottlenecks with one output"


class CnnGenerates:
    """A `detector.heat.Looker` of a ResNet with one output: torchvision's names, as the authors' files have them.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    def __init__(self, weights: Path, size: int = 224, device: str = "auto") -> None:
        self.device, self.size = pick_device(device), size
        tensors, _ = read_tensors(weights)
        self.model = load_resnet(renamed(tensors), weights).to(self.device)
        self.digest = hash_file(weights)

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return resize_linear(image, self.size, self.size)

    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """As of `Looker`."""
        return grad_cam(self.model, normalised(as_pixels(prepared, self.device))).cpu()


def load_resnet(tensors: Tensors, path: Path) -> Any:
    """The ResNet of transformers' names that the tensors make; its width and depths are theirs.

    Raises CheckpointError.
    """

    def build() -> Any:
        stages = count_blocks(tensors, r"resnet\.encoder\.stages\.(\d+)\.")
        depths = [
            count_blocks(tensors, rf"resnet\.encoder\.stages\.{stage}\.layers\.(\d+)\.") for stage in range(stages)
        ]
        if not stages or not all(depths):
            raise ValueError("it has no layer1.0, layer2.0, ..")
        return build_resnet(depths, side(tensors, STEM))

    return fit(build, tensors, path, WHAT)


def build_resnet(depths: Sequence[int] = (3, 4, 6, 3), width: int = 64) -> Any:
    """torchvision's ResNet-50 (stride in the 3 x 3) with one output, or one of other depths and width."""
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = [width * 4 * 2**stage for stage in range(len(depths))]
    config = ResNetConfig(embedding_size=width, hidden_sizes=sizes, depths=list(depths), num_labels=1)
    return ResNetForImageClassification(config)


def renamed(tensors: Tensors) -> Tensors:
    """torchvision's names to transformers'."""
    found = {}
    for name, tensor in tensors.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        found[re.sub(r"<(\d)>", lambda match: str(int(match[1]) - 1), name)] = tensor
    return found


def torchvision_names(tensors: Tensors) -> Tensors:
    """transformers' names to torchvision's, in which such classifiers are passed on: the inverse of `renamed`."""
    rules = (
        (r"^resnet\.embedder\.embedder\.convolution\.", "conv1."),
        (r"^resnet\.embedder\.embedder\.normalization\.", "bn1."),
        (r"^resnet\.encoder\.stages\.(\d)\.layers\.", r"layer<\1>."),
        (r"\.shortcut\.convolution\.", ".downsample.0."),
        (r"\.shortcut\.normalization\.", ".downsample.1."),
        (r"\.layer\.(\d)\.convolution\.", r".conv<\1>."),
        (r"\.layer\.(\d)\.normalization\.", r".bn<\1>."),
        (r"^classifier\.1\.", "fc."),
    )
    found = {}
    for name, tensor in tensors.items():
        for pattern, theirs in rules:
            name = re.sub(pattern, theirs, name)
        found[re.sub(r"<(\d)>", lambda match: str(int(match[1]) + 1), name)] = tensor
    return found


def grad_cam(model: Any, pixels_BCHW: torch.Tensor) -> torch.Tensor:
    """float B h w, 0..1: Grad-CAM of the only logit, times the probability that the picture is generated."""
    with torch.enable_grad():
        maps = model.resnet(pixels_BCHW).last_hidden_state.detach().requires_grad_()
        logits = model.classifier(maps.mean((2, 3), keepdim=True))[:, 0]
        (slope,) = torch.autograd.grad(logits.sum(), maps)
    cam = (slope.mean((2, 3), keepdim=True) * maps.detach()).sum(1).clamp(min=0)
    most = cam.amax((1, 2), keepdim=True)
    chance = logits.detach().sigmoid()[:, None, None]
    return torch.where(most > 0, chance * cam / most.clamp(min=1e-12), torch.zeros_like(cam))
