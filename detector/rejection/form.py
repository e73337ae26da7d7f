"""What a mask-classification network in a file may be (see detector.card_form): numbers in ranges, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detector.forms import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_STAGES,
    Check,
    Form,
    choice,
    flag,
    maybe,
    one_or_two,
    real,
    series,
    whole,
)

CHANNELS, LAYERS, HEADS, RATE = whole(1, MAX_CHANNELS), whole(1, 32), whole(1, 256), real(0, 0.99)
DEPTHS = series(LAYERS, 1, MAX_STAGES)
TRAINING = {
    "train_num_points": whole(1, 1 << 20),
    "oversample_ratio": real(1, 100),
    "importance_sample_ratio": real(0, 1),
    "use_auxiliary_loss": flag,
    **dict.fromkeys(("no_object_weight", "class_weight", "mask_weight", "dice_weight"), real(0, 1e4)),
}
"""What only the training on scenes reads. transformers builds the loss with the network, so a card keeps them."""

MASK2FORMER = Form(
    {},
    {
        **dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim"), CHANNELS),
        **dict.fromkeys(("encoder_feedforward_dim", "dim_feedforward"), whole(1, 1 << 14)),
        **dict.fromkeys(("encoder_layers", "decoder_layers"), LAYERS),
        "num_attention_heads": HEADS,
        "num_queries": whole(1, 1000),
        "common_stride": whole(1, 64),
        "feature_strides": series(whole(1, 256), 3, MAX_STAGES),
        "activation_function": choice("relu", "gelu"),
        "dropout": RATE,
        **dict.fromkeys(("pre_norm", "enforce_input_projection"), flag),
        **TRAINING,
    },
)
SWIN = Form(
    {"embed_dim": CHANNELS, "depths": DEPTHS, "num_heads": series(HEADS, 1, MAX_STAGES)},
    {
        "image_size": one_or_two(whole(1, 8192)),
        "patch_size": whole(1, 64),
        "window_size": whole(1, 24),
        "mlp_ratio": real(0.1, 16),
        "qkv_bias": flag,
        "drop_path_rate": maybe(RATE),
        "hidden_act": choice("gelu", "relu"),
        "layer_norm_eps": real(1e-12, 1),
    },
)
RESNET = Form(
    {"depths": DEPTHS},
    {
        "embedding_size": CHANNELS,
        "hidden_sizes": series(CHANNELS, 1, MAX_STAGES),
        "layer_type": choice("basic", "bottleneck"),
        "hidden_act": choice("relu", "gelu"),
        **dict.fromkeys(("downsample_in_first_stage", "downsample_in_bottleneck"), flag),
    },
)
DETR = Form(
    {},
    {
        "num_queries": whole(1, 1000),
        "d_model": CHANNELS,
        # MaskFormer's decoder has a DETR's settings; the encoder's say nothing about it but are stored.
        "encoder_layers": whole(0, 32),
        "decoder_layers": LAYERS,
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), HEADS),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), whole(1, 1 << 14)),
        "activation_function": choice("relu", "gelu"),
        **dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), RATE),
    },
)
MASKFORMER = Form(
    {},
    {
        **dict.fromkeys(("fpn_feature_size", "mask_feature_size"), CHANNELS),
        "decoder_config": DETR,
        "use_auxiliary_loss": flag,
        **dict.fromkeys(("no_object_weight", "cross_entropy_weight", "mask_weight", "dice_weight"), real(0, 1e4)),
    },
)
SEGMENTERS = {"mask2former": MASK2FORMER, "maskformer": MASKFORMER}
BACKBONES = {"swin": SWIN, "resnet": RESNET}
"""Forms of `options` by `model_type`."""


def kind_of(forms: Mapping[str, Form], **beside: Check) -> Check:
    """A group with a `model_type`, one of `forms`, and its `options`."""

    def check(value: Any, path: str) -> dict[str, Any]:
        named = value.get("model_type") if isinstance(value, Mapping) else None
        form = forms[named] if isinstance(named, str) and named in forms else Form()
        return Form({"model_type": choice(*forms), "options": form, **beside})(value, path)

    return check


NETWORK = kind_of(SEGMENTERS, num_classes=whole(1, MAX_CLASSES), backbone=kind_of(BACKBONES))
"""`num_classes` without "no object"."""
