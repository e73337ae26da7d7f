"""SegFormer as DiffDoctor trains it: one map of the probability of an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from applications.baselines.pixels import as_pixels, normalised
from corruptor.model_folder import check_network
from detector.errors import CheckpointError
from detector.heat import pick_device
from detector.transforms import resize_linear
from shards.errors import MissingInputError
from shards.files import hash_file
from shards.masks import ARTIFACT, U8

WEIGHTS = "model.safetensors"


class SegFormer:
    """A `detector.heat.Looker` of a folder in transformers format: config.json and model.safetensors.

    One class is taken through a sigmoid, of two the second through a softmax.

    Raises MissingInputError, CheckpointError (no SegFormer of one or two classes, or a damaged one), ConfigError.
    """

    def __init__(self, folder: Path, size: int = 512, device: str = "auto") -> None:
        for name in ("config.json", WEIGHTS):
            if not (folder / name).is_file():
                raise MissingInputError(f"{folder} has no {name}; name a folder that save_pretrained wrote")
        self.device, self.size = pick_device(device), size
        try:
            check_network(folder / "config.json")
            self.model = self.load(folder)
        except Exception as error:  # transformers and safetensors raise dozens of types on damaged files
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{folder} is no SegFormer that can be read ({reason}); save it again") from error
        if self.model.config.num_labels not in (1, 2):
            raise CheckpointError(f"{folder} tells {self.model.config.num_labels} classes apart; needed are 1 or 2")
        self.digest = hash_file(folder / WEIGHTS)

    def load(self, folder: Path) -> Any:
        from transformers import SegformerForSemanticSegmentation

        found = SegformerForSemanticSegmentation.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
        return found.to(self.device).eval()

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return resize_linear(image, self.size, self.size)

    @torch.inference_mode()
    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """As of `Looker`."""
        logits = self.model(normalised(as_pixels(prepared, self.device))).logits
        return logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, ARTIFACT]
