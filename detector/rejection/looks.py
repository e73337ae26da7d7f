"""All scores of pictures from one forward pass each, for tables that compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from detector.heat import Detector, Heat, enlarge
from detector.rejection.scores import as_heat
from shards.errors import ConfigError
from shards.masks import U8


@torch.inference_mode()
def score_heats(detector: Detector, images: Sequence[U8], names: Sequence[str]) -> list[dict[str, Heat]]:
    """uint8 HWC pictures of any size -> for each picture float32 HW by score, 0..1, of the picture's own size.

    Raises ConfigError for a detector that rejects nothing.
    """
    model: Any = detector.model
    if not hasattr(model, "look"):
        raise ConfigError("this detector was trained to tell artifacts; scores of rejection are a segmenter's")
    found = []
    for image in images:
        pixels = torch.from_numpy(np.array(detector.prepare(image))).to(detector.device).permute(2, 0, 1)[None].float()
        norm = model.data_preprocessor
        made = model.look((pixels - norm.mean) / norm.std, names)
        heats = {name: as_heat(name, value)[0].float().cpu() for name, value in made.items()}
        found.append({name: enlarge(heat, *image.shape[:2]) for name, heat in heats.items()})
    return found
