"""Every method by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from applications.baselines.cnn import CnnGenerates
from applications.baselines.pal import Pal
from applications.baselines.patches import PatchForensics
from applications.baselines.segformer import SegFormer
from shards.masks import U8


class Baseline(Protocol):
    """A `detector.heat.Looker` that knows which weights it has."""

    digest: str
    """sha256 of its file."""

    def prepare(self, image: U8) -> U8: ...

    def look(self, prepared: Sequence[U8]) -> torch.Tensor | list[torch.Tensor]: ...


KINDS: dict[str, Callable[[Path, int, str], Baseline]] = {
    "cnngenerates": CnnGenerates,
    "patchforensics": PatchForensics,
    "pal": Pal,
    "segformer": SegFormer,
}


def open_baseline(kind: str, weights: Path, size: int, device: str = "auto") -> Baseline:
    """A method over the user's weights; `size` is the side in pixels that pictures are brought to.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    return KINDS[kind](weights, size, device)
