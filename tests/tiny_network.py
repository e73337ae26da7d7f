"""A Mask2Former of three classes that is built in a moment, as a card, a folder and a config's overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from detector.card import Card
from detector.checkpoint import build_model

OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim"), 32),
    **dict.fromkeys(("encoder_feedforward_dim", "dim_feedforward"), 32),
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "num_queries": 5,
    "common_stride": 2,
    "feature_strides": [2, 4, 8, 16],
    "train_num_points": 32,
}
BACKBONE = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
BACKBONE |= {"window_size": 2, "drop_path_rate": 0.1}
NETWORK: dict[str, Any] = {
    "model_type": "mask2former",
    "num_classes": 3,
    "options": OPTIONS,
    "backbone": {"model_type": "swin", "options": BACKBONE},
}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
DETR: dict[str, Any] = {
    "num_queries": 5,
    "d_model": 32,
    "encoder_layers": 0,
    "decoder_layers": 2,
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 32),
}
MASKFORMER = {"fpn_feature_size": 32, "mask_feature_size": 32, "decoder_config": DETR}
SPINES = {"swin": BACKBONE, "resnet": RESNET}
WHOLE: dict[str, dict[str, Any]] = {"mask2former": OPTIONS, "maskformer": MASKFORMER}


def network(kind: str, spine: str) -> dict[str, Any]:
    """Each architecture with each backbone."""
    backbone = {"model_type": spine, "options": SPINES[spine]}
    return {"model_type": kind, "num_classes": 3, "options": WHOLE[kind], "backbone": backbone}


NORM = {"type": "SegDataPreProcessor", "mean": [120.0] * 3, "std": [60.0] * 3, "bgr_to_rgb": False}


def segmenter_card(keep_ratio: bool = False, built: dict[str, Any] = NETWORK) -> Card:
    model = {"type": "MaskSegmenter", "data_preprocessor": NORM, "network": built, "keep_ratio": keep_ratio}
    return Card(model, 32, ("ground", "wheel", "eye"))


def segmenter(keep_ratio: bool = False, built: dict[str, Any] = NETWORK) -> Any:
    """With random weights, whose queries are sure of something, so that scores spread."""
    torch.manual_seed(5)
    model = build_model(segmenter_card(keep_ratio, built))
    with torch.no_grad():
        model.network.class_predictor.weight.mul_(20)
        model.network.class_predictor.bias.normal_()
    return model


def folder(out: Path, keep_ratio: bool = False, built: dict[str, Any] = NETWORK) -> Path:
    """The same as a folder of transformers."""
    from detector.rejection.folder import write_folder

    write_folder(out, segmenter_card(keep_ratio, built), segmenter(keep_ratio, built).state_dict())
    return out


def overrides(source: Path) -> tuple[str, ...]:
    """What makes configs/detector/msr_mini.py this small, started from `source`."""
    settings = {f"model.network.options.{name}": value for name, value in OPTIONS.items()}
    settings |= {f"model.network.backbone.options.{name}": value for name, value in BACKBONE.items()}
    settings |= {"model.network.num_classes": 3, "image_size": 32, "state_every": 1, "log_every": 1}
    settings |= {"initialise.source": f"'{source}'", "model.data_preprocessor.size": "(32, 32)"}
    settings |= {"val_pipeline.0.size": 32, "val_dataloader.dataset.pipeline.0.size": 32}
    settings |= {"optim_wrapper.optimizer.lr": 0.01}
    return tuple(f"{name}={value}" for name, value in settings.items())
