"""A trained detector as a function: pictures in, heat maps out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
LONGEST = 4
WHOLE = 3 << 22
"""Pixels of a picture whose heat map is made at once."""


@dataclass(frozen=True)
class Rejecting:
    """A segmenter as a detector: what it cannot explain is an artifact (detector.rejection)."""

    score: str = "msr"
    valid: tuple[int, ...] = ()
    """Positions of the classes that count as valid content; () for all."""
    revision: str = "main"
    """Of a hub id."""
    boundary: int = 0
    """Rejection not as wide as 2 boundary + 1 pixels is an outline; 0 keeps all."""


class Looker(Protocol):
    """Whatever gives heat maps of pictures: a detector of ours, or another method brought to its form."""

    def prepare(self, image: U8) -> U8:
        """uint8 HWC RGB of any size -> uint8 SSC, the one size that it looks at."""
        ...

    def look(self, prepared: Sequence[U8]) -> torch.Tensor | list[torch.Tensor]:
        """Prepared pictures -> a float map of any size each, on the CPU: the probability 0..1 of an artifact."""
        ...


class Detector:
    """Looks at pictures of any size.

    Args:
        checkpoint: .safetensors of ours, or any checkpoint with `card`; with `rejects` a bare segmenter.
        device: auto, cpu or cuda. rejects: how a segmenter of valid content is a detector.

    Raises MissingInputError, CheckpointError (also where the classes are not clean and artifact), ConfigError.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        card: Card | None = None,
        device: str = "auto",
        rejects: Rejecting | None = None,
    ) -> None:
        pick_device(device)
        if rejects is None:
            model, found = load_detector(checkpoint, card)
        else:
            from detector.rejection.hub import load_segmenter

            model, found = load_segmenter(checkpoint, rejects.score, rejects.valid, rejects.revision, rejects.boundary)
        self.use(model, found, checkpoint, device)

    @classmethod
    def of(cls, model: Any, card: Card, name: str | Path, device: str = "auto") -> Detector:
        """A detector of a model that is in memory; `name` is told in errors. Raises CheckpointError, ConfigError."""
        made = cls.__new__(cls)
        made.use(model, card, name, device)
        return made

    def use(self, model: Any, card: Card, checkpoint: str | Path, device: str) -> None:
        self.device, self.model, self.card = pick_device(device), model, card
        if len(self.card.classes) != 2:
            raise CheckpointError(
                f"{checkpoint} tells {len(self.card.classes)} classes apart, not clean and artifact; "
                "train a detector from it (`initialise`)"
            )
        self.model.to(self.device)

    def prepare(self, image: U8) -> U8:
        """uint8 HWC RGB of any size -> uint8 HWC at the detector's size; its ratio is kept where the card says so."""
        return resize_linear(image, *sides(image.shape, self.card.image_size, self.card.model.get("keep_ratio", False)))

    def look(self, prepared: Sequence[U8]) -> list[torch.Tensor]:
        """Prepared pictures -> float HW of each on the CPU, the probability 0..1 of an artifact.

        Those of one size go through the network together, so many at a time as fit into memory.
        """
        found: list[torch.Tensor] = [torch.empty(0)] * len(prepared)
        for shape in dict.fromkeys(one.shape for one in prepared):
            places = [place for place, one in enumerate(prepared) if one.shape == shape]
            square = shape[0] * shape[1] / self.card.image_size**2
            most = chunk(math.ceil(self.card.size.widest * square), self.device.type == "cuda")
            for at in range(0, len(places), most):
                group = places[at : at + most]
                heats = self._look([prepared[place] for place in group]).float().cpu()
                for place, heat in zip(group, heats, strict=True):
                    found[place] = heat
        return found

    @torch.inference_mode()
    def _look(self, prepared: Sequence[U8]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device).permute(0, 3, 1, 2).float()
        norm: Any = self.model.data_preprocessor
        metas = [{"ori_shape": pixels.shape[2:], "img_shape": pixels.shape[2:], "pad_shape": pixels.shape[2:]}]
        logits = self.model.encode_decode((pixels - norm.mean) / norm.std, metas * len(pixels))
        return logits.softmax(1)[:, ARTIFACT]

    def heat(self, images: Sequence[U8]) -> list[Heat]:
        """uint8 HWC RGB pictures -> float32 HW of each picture's own size, 0..1."""
        small = self.look([self.prepare(image) for image in images])
        return [enlarge(one, image.shape[0], image.shape[1]) for one, image in zip(small, images, strict=True)]


def sides(shape: Sequence[int], size: int, keep_ratio: bool) -> tuple[int, int]:
    """Height and width that a picture HW.. is looked at with: the short side `size`, or both.

    The long side is at most LONGEST times the short one; of a longer picture the ratio is not kept.
    """
    if not keep_ratio:
        return size, size
    height, width = shape[:2]
    longer = min(round(size * max(height, width) / min(height, width)), LONGEST * size)
    return (longer, size) if height > width else (size, longer)


def enlarge(heat: torch.Tensor, height: int, width: int) -> Heat:
    """float SS -> float32 HW, bilinear; the same values where the size is right."""
    if heat.shape == (height, width):
        return heat.numpy()
    sized = functional.interpolate(heat[None, None], (height, width), mode="bilinear", align_corners=False)
    return sized[0, 0].numpy()


def enlarged(heat: torch.Tensor, height: int, width: int, strip: int) -> Iterator[tuple[slice, Heat]]:
    """As `enlarge`, `strip` rows at a time: (rows, float32 of them). Of more than WHOLE pixels no more is in memory."""
    tops = range(0, height, strip)
    if height * width <= WHOLE:
        whole = enlarge(heat, height, width)
        yield from ((slice(top, top + strip), whole[top : top + strip]) for top in tops)
        return
    wide = enlarge(heat, heat.shape[0], width)
    for top in tops:
        rows = np.arange(top, min(top + strip, height), dtype=np.float32)
        place = np.clip((rows + 0.5) * np.float32(len(wide) / height) - 0.5, 0, len(wide) - 1)
        above = place.astype(np.int64)
        below, share = np.minimum(above + 1, len(wide) - 1), (place - above).astype(np.float32)[:, None]
        yield slice(top, top + len(rows)), wide[above] * (1 - share) + wide[below] * share


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
