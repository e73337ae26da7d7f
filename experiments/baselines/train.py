"""The two classifiers of real against generated pictures, small: CNNgenerates' ResNet and Patch Forensics' Xception.

Both are told of every picture whether the generator made it, and nothing else. Each begins from random weights; the
published CNNgenerates begins from ImageNet's. No mirroring: a mirrored letter is a fault in this world.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from applications.baselines.cnn import build_resnet, torchvision_names
from applications.baselines.patches import GENERATED, xception
from applications.baselines.pixels import as_pixels, normalised
from shards.files import make_folder, write_bytes, write_json
from shards.guard.json_text import read_object
from shards.masks import U8
from shards.progress import Progress
from shards.seeds import named_rng, named_seed

HELD_OUT = 5
"""One scene in so many, the last ones, is kept to tell how well the classes are told apart."""
DEPTHS, WIDTH = (2, 2), 32
"""Two stages: a map of 8 x 8 for 64 pixels, as a ResNet-50 has one of 7 x 7 for 224."""
STEM, WIDTHS = (32, 64), (128,)
"""The authors' `xception_block1`, at its own widths: patches of 19 pixels, 4 apart."""
CROP = 7 / 8
BLUR, QUALITY, OFTEN = 3 * 64 / 224, (30, 100), 0.1
"""Wang et al. 2020, section 4.1, `Blur+JPEG (0.1)`: crops of 224 of 256 pixels; standard deviation of the blur up to 3
pixels of 224; JPEG quality; how often each."""


@dataclass(frozen=True)
class Recipe:
    """How long and from which seed."""

    iterations: int
    seed: int = 0
    batch: int = 16
    """Half of them real, half generated."""
    rate: float = 1e-3


@dataclass(frozen=True)
class Method:
    """A network, what it says of pictures, and how its file names the weights."""

    kind: str
    """Of `applications.baselines`."""
    build: Callable[[], Any]
    loss: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
    """(network, float BCHW 0..1, float B: 1 generated) -> scalar."""
    chance: Callable[[Any, torch.Tensor], torch.Tensor]
    """(network, float BCHW 0..1) -> float B: the probability that a picture is generated."""
    named: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = dict
    degrade: bool = False


def cnn_loss(net: Any, pixels: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(net(normalised(pixels)).logits[:, 0], generated)


def cnn_chance(net: Any, pixels: torch.Tensor) -> torch.Tensor:
    return net(normalised(pixels)).logits[:, 0].sigmoid()


def patch_loss(net: Any, pixels: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """Every patch has its picture's label (Chai et al. 2020, section 3.1)."""
    logits = net(pixels * 2 - 1)
    label = torch.where(generated == 1, GENERATED, 1 - GENERATED)
    return functional.cross_entropy(logits, label[:, None, None].expand(-1, *logits.shape[2:]))


def patch_chance(net: Any, pixels: torch.Tensor) -> torch.Tensor:
    return net(pixels * 2 - 1).softmax(1)[:, GENERATED].mean((1, 2))


METHODS = {
    "cnngenerates": Method(
        "cnngenerates", lambda: build_resnet(DEPTHS, WIDTH), cnn_loss, cnn_chance, torchvision_names, degrade=True
    ),
    "patchforensics": Method("patchforensics", lambda: xception(STEM, WIDTHS), patch_loss, patch_chance),
}


def train(method: Method, real: U8, generated: U8, recipe: Recipe, name: str, out: Path) -> dict[str, Any]:
    """Train and write OUT/NAME.safetensors, then OUT/NAME.json, which says that it is done; returns what the JSON says.

    Args:
        real, generated: uint8 [N, H, W, 3], picture i of both of one scene.

    Raises OutputError.
    """
    asked = asdict(recipe) | {"scenes": len(real)}
    told = out / f"{name}.json"
    if told.exists() and (found := read_object(told)).get("asked") == asked:
        return found
    make_folder(out)
    kept = len(real) - max(1, len(real) // HELD_OUT)
    began, cpu = time.monotonic(), time.process_time()
    net = learn(method, real[:kept], generated[:kept], recipe, name)
    result = {
        "asked": asked,
        "accuracy": accuracy(method, net, real[kept:], generated[kept:]),
        "held_out": 2 * (len(real) - kept),
        "weights": sum(one.numel() for one in net.parameters()),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    from safetensors.torch import save

    tensors = {key: one.contiguous() for key, one in method.named(net.state_dict()).items()}
    write_bytes(out / f"{name}.safetensors", save(tensors, {"format": "pt"}))
    write_json(told, result)
    return result


def learn(method: Method, real: U8, generated: U8, recipe: Recipe, name: str) -> Any:
    """The trained network, in evaluation mode."""
    rng = named_rng(f"baselines/{name}/{recipe.seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named_seed(f"baselines/{name}/{recipe.seed}/weights"))
        net = method.build().train()
    adam = torch.optim.Adam(net.parameters(), lr=recipe.rate)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, recipe.iterations)
    label = torch.tensor([0.0] * (recipe.batch // 2) + [1.0] * (recipe.batch // 2))
    with Progress(recipe.iterations, "iteration", name) as shown:
        for _ in range(recipe.iterations):
            picked = [images[rng.integers(0, len(images), recipe.batch // 2)] for images in (real, generated)]
            images = np.concatenate(picked)
            if method.degrade:
                images = np.stack([degraded(cropped(image, rng), rng) for image in images])
            loss = method.loss(net, as_pixels(list(images), torch.device("cpu")), label)
            adam.zero_grad()
            loss.backward()
            adam.step()
            rates.step()
            shown.update(1)
    return net.eval()


def cropped(image: U8, rng: np.random.Generator) -> U8:
    """A square of CROP of the side, somewhere."""
    side = round(CROP * len(image))
    y, x = rng.integers(0, len(image) - side + 1, 2)
    return image[y : y + side, x : x + side]


def degraded(image: U8, rng: np.random.Generator) -> U8:
    """Blurred and JPEG-compressed, each sometimes: what a classifier should not depend on."""
    if rng.random() < OFTEN:
        sigma = rng.uniform(0, BLUR)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    if rng.random() < OFTEN:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(QUALITY[0], QUALITY[1] + 1)))
        image = np.asarray(Image.open(buffer))
    return image


@torch.inference_mode()
def accuracy(method: Method, net: Any, real: U8, generated: U8) -> float:
    """Share of pictures on whose side of 0.5 the probability lies."""
    right = 0
    for images, is_generated in ((real, False), (generated, True)):
        for first in range(0, len(images), 64):
            chance = method.chance(net, as_pixels(list(images[first : first + 64]), torch.device("cpu")))
            right += int(((chance >= 0.5) == is_generated).sum())
    return right / (len(real) + len(generated))
