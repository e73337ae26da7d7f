"""SegFormer as DiffDoctor trains it (Wang et al. 2025): one map of the probability of an artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from applications.baselines.fit import MOST_BLOCKS, count_blocks, side
from applications.baselines.pixels import as_pixels, normalised
from corruptor.model_folder import check_network
from detector.errors import CheckpointError
from detector.heat import pick_device
from detector.tensors import Tensors, read_tensors
from detector.transforms import resize_linear
from shards.errors import MissingInputError
from shards.files import hash_file
from shards.masks import ARTIFACT, U8

WEIGHTS = "model.safetensors"
ENCODER = "segformer.encoder."
STRIDES = (4, 2, 2, 2)


class SegFormer:
    """A `detector.heat.Looker` of a folder in transformers format, or of a bare file of its tensors.

    The folder holds config.json and model.safetensors. A file (DiffDoctor's `ad_pytorch_model.bin`, .pth or
    .safetensors) has transformers' names; its sizes are told by its tensors' shapes, the attention's heads as in all
    MiT-B0 to B5: one in the first stage, as many times more as there are channels.

    One class is taken through a sigmoid, of two the second through a softmax.

    Raises MissingInputError, CheckpointError (no SegFormer of one or two classes, or a damaged one), ConfigError.
    """

    def __init__(self, weights: Path, size: int = 512, device: str = "auto") -> None:
        self.device, self.size = pick_device(device), size
        if weights.is_dir():
            for name in ("config.json", WEIGHTS):
                if not (weights / name).is_file():
                    raise MissingInputError(f"{weights} has no {name}; name a folder that save_pretrained wrote")
        file = weights / WEIGHTS if weights.is_dir() else weights
        tensors, _ = read_tensors(file)
        try:
            config = config_of_folder(weights) if weights.is_dir() else config_of(tensors)
            model = filled(config, tensors)
        except Exception as error:  # transformers raises dozens of types on damaged configs
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{weights} is no SegFormer that can be read ({reason}); save it again") from error
        if model.config.num_labels not in (1, 2):
            raise CheckpointError(f"{weights} tells {model.config.num_labels} classes apart; needed are 1 or 2")
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.digest = hash_file(file)

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return resize_linear(image, self.size, self.size)

    @torch.inference_mode()
    def look(self, prepared: Sequence[U8]) -> torch.Tensor:
        """As of `Looker`."""
        logits = self.model(normalised(as_pixels(prepared, self.device))).logits.cpu()
        return logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, ARTIFACT]


def config_of_folder(folder: Path) -> Any:
    """transformers' configuration. Raises ValueError, and what transformers raises."""
    from transformers import SegformerConfig

    check_network(folder / "config.json")
    return SegformerConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))


def config_of(tensors: Tensors) -> Any:
    """The configuration that tensors in transformers' published names are of. Raises ValueError."""
    from transformers import SegformerConfig

    stages = count_blocks(tensors, r"segformer\.encoder\.patch_embeddings\.(\d+)\.")
    if not 1 <= stages <= len(STRIDES):
        raise ValueError(f"it has {stages} stages by the names {ENCODER}patch_embeddings.N; allowed are 1 to 4")
    patch, block = ENCODER + "patch_embeddings.{}.proj.weight", ENCODER + "block.{}.0."
    widths = [side(tensors, patch.format(k)) for k in range(stages)]
    reduced = [block.format(k) + "attention.self.sr.weight" for k in range(stages)]
    classes = side(tensors, "decode_head.classifier.weight")
    return SegformerConfig(
        num_encoder_blocks=stages,
        hidden_sizes=widths,
        depths=[count_blocks(tensors, rf"segformer\.encoder\.block\.{k}\.(\d+)\.") for k in range(stages)],
        patch_sizes=[side(tensors, patch.format(k), 2) for k in range(stages)],
        strides=list(STRIDES[:stages]),
        sr_ratios=[side(tensors, name, 2) if name in tensors else 1 for name in reduced],
        num_attention_heads=[width // widths[0] for width in widths],
        mlp_ratios=[side(tensors, block.format(k) + "mlp.dense1.weight") // widths[k] for k in range(stages)],
        decoder_hidden_size=side(tensors, "decode_head.classifier.weight", 1),
        num_labels=classes,
    )


def filled(config: Any, tensors: Tensors) -> Any:
    """The network with all of its weights from `tensors`. Raises ValueError where some are missing or do not fit."""
    from transformers import SegformerForSemanticSegmentation
    from transformers.utils import logging

    if max(config.depths, default=0) > MOST_BLOCKS:
        raise ValueError(f"a stage of {max(config.depths)} blocks; at most {MOST_BLOCKS} are built")
    with torch.device("meta"):
        wanted = SegformerForSemanticSegmentation(config).num_parameters()
    have = sum(tensor.numel() for tensor in tensors.values())
    if wanted > have:
        raise ValueError(f"its config tells of {wanted} weights, it holds {have}")
    logging.set_verbosity_error()  # what is missing is told here, in one line
    logging.disable_progress_bar()
    model, told = SegformerForSemanticSegmentation.from_pretrained(
        None, config=config, state_dict=tensors, output_loading_info=True, dtype=torch.float32
    )
    for kind in ("missing_keys", "mismatched_keys"):
        wrong = sorted(str(one[0] if isinstance(one, tuple) else one) for one in told[kind])
        if wrong:
            raise ValueError(f"{len(wrong)} {kind.replace('_', ' ')}, such as {wrong[0]}")
    if any(t.is_floating_point() and not t.isfinite().all() for t in model.state_dict().values()):
        raise ValueError("it holds values that are no finite numbers")
    return model
