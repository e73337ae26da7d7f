"""CNNgenerates (Wang et al. 2020) with Grad-CAM (Selvaraju et al. 2017): a ResNet-50, real against generated.

The classifier says how likely a picture is generated, Grad-CAM where it looks: the gradient of the logit, averaged over
the last stage, weighs that stage's maps; what is below 0 is cut, the largest value becomes the probability.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from applications.baselines.pixels import as_pixels, normalised
from detector.errors import CheckpointError
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


class CnnGenerates:
    """A `detector.heat.Looker` of a ResNet-50 with one output: torchvision's names, as the authors' files have them.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    def __init__(self, weights: Path, size: int = 224, device: str = "auto") -> None:
        self.device, self.size = pick_device(device), size
        tensors, _ = read_tensors(weights)
        self.model = build_resnet()
        fit(self.model, renamed(tensors), weights)
        self.model = self.model.to(self.device).eval().requires_grad_(False)
        self.digest = hash_file(weights)

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return resize_linear(image, self.size, self.size)

    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """As of `Looker`."""
        return grad_cam(self.model, normalised(as_pixels(prepared, self.device)))


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


def fit(model: Any, tensors: Tensors, path: Path) -> None:
    """Load all tensors. Raises CheckpointError naming what does not fit."""
    wanted = {name: t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    wrong = [name for name, t in wanted.items() if name not in tensors or tensors[name].shape != t.shape]
    if wrong:
        told = "is missing" if wrong[0] not in tensors else f"is {tuple(tensors[wrong[0]].shape)}"
        raise CheckpointError(f"{path} is no ResNet-50 with one output: {wrong[0]} {told} ({len(wrong)} do not fit)")
    model.load_state_dict({name: tensors[name] for name in wanted}, strict=False)


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
