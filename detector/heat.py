"""A trained detector as a function: pictures in, heat maps out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from detector.card import Card
from detector.card_size import chunk
from detector.checkpoint import load_detector
from detector.errors import CheckpointError
from detector.transforms import resize_linear
from shards.errors import ConfigError
from shards.masks import ARTIFACT, U8

Heat = NDArray[np.float32]


class Looker(Protocol):
    """Whatever gives heat maps of pictures: a detector of ours, or another method brought to its form."""

    def prepare(self, image: U8) -> U8:
        """uint8 HWC RGB of any size -> uint8 SSC, the one size that it looks at."""
        ...

    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """Prepared pictures -> float NKK of any K, the probability 0..1 of an artifact."""
        ...


class Detector:
    """Looks at pictures of any size.

    Args:
        checkpoint: .safetensors of ours, or any checkpoint with `card`. device: auto, cpu or cuda.

    Raises MissingInputError, CheckpointError (also where the classes are not clean and artifact), ConfigError.
    """

    def __init__(self, checkpoint: str | Path, card: Card | None = None, device: str = "auto") -> None:
        self.device = pick_device(device)
        self.model, self.card = load_detector(checkpoint, card)
        if len(self.card.classes) != 2:
            raise CheckpointError(
                f"{checkpoint} tells {len(self.card.classes)} classes apart, not clean and artifact; "
                "train a detector from it (`initialise`)"
            )
        self.model.to(self.device)

    def prepare(self, image: U8) -> U8:
        """uint8 HWC RGB of any size -> uint8 SSC at the detector's size, without keeping the ratio."""
        return resize_linear(image, self.card.image_size, self.card.image_size)

    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """Prepared pictures -> float NSS on the detector's device, the probability 0..1 of an artifact.

        So many at a time as fit into memory, for which a detector of small pictures takes all.
        """
        most = chunk(self.card.size.widest, self.device.type == "cuda")
        return torch.cat([self._look(prepared[at : at + most]) for at in range(0, len(prepared), most)])

    @torch.inference_mode()
    def _look(self, prepared: Sequence[U8]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device).permute(0, 3, 1, 2).float()
        norm: Any = self.model.data_preprocessor
        metas = [{"ori_shape": pixels.shape[2:], "img_shape": pixels.shape[2:], "pad_shape": pixels.shape[2:]}]
        logits = self.model.encode_decode((pixels - norm.mean) / norm.std, metas * len(pixels))
        return logits.softmax(1)[:, ARTIFACT]

    def heat(self, images: Sequence[U8]) -> list[Heat]:
        """uint8 HWC RGB pictures -> float32 HW of each picture's own size, 0..1."""
        small = self.look([self.prepare(image) for image in images]).float().cpu()
        return [enlarge(one, image.shape[0], image.shape[1]) for one, image in zip(small, images, strict=True)]


def enlarge(heat: torch.Tensor, height: int, width: int) -> Heat:
    """float SS -> float32 HW, bilinear; the same values where the size is right."""
    if heat.shape == (height, width):
        return heat.numpy()
    sized = functional.interpolate(heat[None, None], (height, width), mode="bilinear", align_corners=False)
    return sized[0, 0].numpy()


def pick_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N -> device. Raises ConfigError for any other, or where it is not there."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if cards else "cpu")
    if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name):
        raise ConfigError(f"device {name[:60]!r} is unknown; use auto, cpu, cuda or cuda:N")
    if name != "cpu" and int(name.partition(":")[2] or 0) >= cards:
        raise ConfigError(f"device {name!r} is not there ({cards} CUDA cards); use auto or cpu")
    return torch.device(name)
