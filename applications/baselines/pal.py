"""PAL's networks (Zhang et al. 2022 and 2023) as the authors pass them on: TorchScript archives of mmsegmentation.

The program in an archive is not run; its weights fill the same network built here. What is known of it is told by the
weights: UPerNet with Swin or ConvNeXt, two classes, its sizes by the shapes of its tensors. The archives' program gives
the larger class alone; the weights give its probability.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from applications.baselines.fit import count_blocks, side
from applications.baselines.script_tensors import read_script
from detector.card import Card
from detector.checkpoint import fitted
from detector.errors import CheckpointError
from detector.heat import Detector
from detector.initialise import to_ours
from detector.tensors import Tensors, read_tensors
from shards.files import hash_file
from shards.masks import U8

MEAN, SPREAD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
"""Of grey levels 0..255, RGB: what the authors subtract and divide by."""
PARTS = ("backbone.", "decode_head.")
CLASSES = ("clean", "artifact")


class Pal:
    """A `detector.heat.Looker` of a TorchScript archive, or of an mmsegmentation checkpoint, of PAL's kind.

    Raises MissingInputError, CheckpointError, ConfigError.
    """

    def __init__(self, weights: Path, size: int = 512, device: str = "auto") -> None:
        tensors = to_ours(parts_of(read_weights(weights)))
        try:
            card = card_of(tensors, size)
        except ValueError as error:
            raise CheckpointError(f"{weights} is no UPerNet of two classes with Swin or ConvNeXt: {error}") from error
        self.detector = Detector.of(fitted(card, tensors, weights), card, weights, device)
        self.digest = hash_file(weights)

    def prepare(self, image: U8) -> U8:
        """As of `Looker`."""
        return self.detector.prepare(image)

    def look(self, prepared: Sequence[U8]) -> list[torch.Tensor]:
        """As of `Looker`."""
        return self.detector.look(prepared)


def read_weights(path: Path) -> Tensors:
    """Tensors of a TorchScript archive, or of a plain file of weights. Raises MissingInputError, CheckpointError."""
    return read_script(path) if is_script(path) else read_tensors(path)[0]


def is_script(path: Path) -> bool:
    """Whether a file is an archive with a program in it, as torch itself tells them apart."""
    if path.suffix == ".safetensors" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def parts_of(tensors: Tensors) -> Tensors:
    """Backbone and head, without what wraps them, without the auxiliary head."""
    ends = [name for name in tensors if name.endswith("decode_head.conv_seg.weight")]
    wrap = ends[0].removesuffix("decode_head.conv_seg.weight") if len(ends) == 1 else ""
    bare = {name.removeprefix(wrap): one for name, one in tensors.items() if name.startswith(wrap)}
    return {name: one for name, one in bare.items() if name.startswith(PARTS)}


def card_of(tensors: Tensors, size: int) -> Card:
    """The card of the network that these tensors, in our names, are of. Raises ValueError."""
    classes = side(tensors, "decode_head.conv_seg.weight")
    if classes != 2:
        raise ValueError(f"it tells {classes} classes apart")
    backbone, channels = (swin if "backbone.patch_embed.projection.weight" in tensors else convnext)(tensors)
    head = {
        "type": "UPerHead",
        "in_channels": channels,
        "in_index": list(range(len(channels))),
        "pool_scales": [1, 2, 3, 6],
        "channels": side(tensors, "decode_head.conv_seg.weight", 1),
        "dropout_ratio": 0.1,
        "num_classes": classes,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "align_corners": False,
    }
    norm = {"type": "SegDataPreProcessor", "mean": MEAN, "std": SPREAD, "bgr_to_rgb": False}
    model = {"type": "EncoderDecoder", "data_preprocessor": norm, "backbone": backbone, "decode_head": head}
    return Card(model={**model, "test_cfg": {"mode": "whole"}}, image_size=size, classes=CLASSES)


def swin(tensors: Tensors) -> tuple[dict[str, Any], list[int]]:
    """Config of mmseg's SwinTransformer and the channels of its maps. Raises ValueError."""
    embed, first = side(tensors, "backbone.patch_embed.projection.weight"), "backbone.stages.0.blocks.0."
    patch = side(tensors, "backbone.patch_embed.projection.weight", 2)
    stages = count_blocks(tensors, r"backbone\.stages\.(\d+)\.")
    depths = [count_blocks(tensors, rf"backbone\.stages\.{k}\.blocks\.(\d+)\.") for k in range(stages)]
    table = "backbone.stages.{}.blocks.0.attn.w_msa.relative_position_bias_table"
    window = (math.isqrt(side(tensors, table.format(0))) + 1) // 2
    config = {
        "type": "SwinTransformer",
        "embed_dims": embed,
        "patch_size": patch,
        "strides": [patch, *[2] * (stages - 1)],
        "window_size": window,
        "mlp_ratio": side(tensors, first + "ffn.layers.0.0.weight") / embed,
        "depths": depths,
        "num_heads": [side(tensors, table.format(k), 1) for k in range(stages)],
        "out_indices": list(range(stages)),
        "qkv_bias": first + "attn.w_msa.qkv.bias" in tensors,
        "patch_norm": "backbone.patch_embed.norm.weight" in tensors,
        "use_abs_pos_embed": False,
    }
    return config, [embed << k for k in range(stages)]


def convnext(tensors: Tensors) -> tuple[dict[str, Any], list[int]]:
    """Config of detector.hub_backbone's ConvNeXt and the channels of its maps. Raises ValueError."""
    stage = "backbone.model.encoder.stages.{}.layers."
    stages = count_blocks(tensors, r"backbone\.model\.encoder\.stages\.(\d+)\.")
    if not stages:
        raise ValueError("it has neither backbone.patch_embed nor backbone.downsample_layers")
    sizes = [side(tensors, stage.format(k) + "0.dwconv.weight") for k in range(stages)]
    options = {
        "hidden_sizes": sizes,
        "depths": [count_blocks(tensors, stage.format(k).replace(".", r"\.") + r"(\d+)\.") for k in range(stages)],
        "patch_size": side(tensors, "backbone.model.embeddings.patch_embeddings.weight", 2),
        "layer_scale_init_value": 1e-6 if stage.format(0) + "0.layer_scale_parameter" in tensors else 0.0,
    }
    return {"type": "HubBackbone", "model_type": "convnext", "options": options}, sizes
