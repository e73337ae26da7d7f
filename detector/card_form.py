"""What a model in a file may be: which modules, which arguments of each, in which range. All else is refused.

A card comes from outside, and mmengine imports, loads or fetches whatever a config names. So a card is plain data of
this form: no argument takes a path, an address, a dotted name or code. What only training reads (losses, start
weights) is recognised in the forms that older cards hold, and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    nothing,
    one_or_two,
    real,
    series,
    whole,
)
from detector.rejection.form import NETWORK
from detector.rejection.names import MOST_BOUNDARY, PIXEL_SCORES, SCORES
from shards.build import describe


def part(*kinds: str) -> Check:
    """One of the kinds of MODULES, named by its `type`."""

    def check(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} must be a group of named values, got {describe(value)}")
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            shown = repr(kind)[:60]
            raise ValueError(f"{path}: type {shown} is not allowed in a checkpoint; allowed: {', '.join(kinds)}")
        rest = {name: one for name, one in value.items() if name != "type"}
        return {"type": kind, **MODULES[kind](rest, path)}

    return check


CHANNELS, RATE, SHARE = whole(1, MAX_CHANNELS), real(0, 0.99), real(0, 1)
SIDE = whole(1, 8192)
DEPTHS = series(whole(1, 64), 1, MAX_STAGES)
START = {"init_cfg": nothing, "pretrained": nothing}
LOSS = part("CrossEntropyLoss")
HEAD = {
    "num_classes": whole(2, MAX_CLASSES),
    "channels": CHANNELS,
}
HEAD_MORE = {
    "dropout_ratio": RATE,
    "norm_cfg": maybe(part("BN", "SyncBN")),
    "act_cfg": part("ReLU", "GELU"),
    "align_corners": flag,
    "ignore_index": whole(0, 255),
}
HEAD_DROPPED = {
    "loss_decode": lambda value, path: (series(LOSS, 1, 8) if isinstance(value, (list, tuple)) else LOSS)(value, path),
    **dict.fromkeys(("init_cfg", "sampler", "conv_cfg", "out_channels", "threshold", "input_transform"), nothing),
}
NORM = {"requires_grad": flag, "eps": real(1e-12, 1)}
ENCODER_DECODER = Form(
    {
        "data_preprocessor": part("SegDataPreProcessor"),
        "backbone": part("SwinTransformer", "HubBackbone", "TraceBackbone"),
        "decode_head": part("UPerHead", "FCNHead"),
    },
    {
        "auxiliary_head": maybe(part("UPerHead", "FCNHead")),
        "test_cfg": Form(
            {"mode": choice("whole", "slide")}, {"crop_size": series(SIDE, 2, 2), "stride": series(SIDE, 2, 2)}
        ),
    },
    {"train_cfg": maybe(Form()), "neck": nothing, **START},
)
SEGMENTER = Form(
    {"data_preprocessor": part("SegDataPreProcessor"), "network": NETWORK},
    {"keep_ratio": flag},
    {"train_cfg": maybe(Form()), **START},
)


def rejecting(form: Form, scores: Sequence[str]) -> Form:
    """A segmenter's form as a detector's: with a score, and which classes count as valid content."""
    valid = maybe(series(whole(0, MAX_CLASSES - 1), 1, MAX_CLASSES))
    more = {"score": choice(*scores), "valid_classes": valid, "boundary": whole(0, MOST_BOUNDARY)}
    return Form(form.needed, {**form.known, **more}, form.dropped)


MODULES = {
    "EncoderDecoder": ENCODER_DECODER,
    "MaskSegmenter": SEGMENTER,
    "MaskRejector": rejecting(SEGMENTER, SCORES),
    "PixelRejector": rejecting(ENCODER_DECODER, PIXEL_SCORES),
    "SegDataPreProcessor": Form(
        {"mean": series(real(-1e4, 1e4), 3, 3), "std": series(real(1e-4, 1e4), 3, 3)},
        {
            "size": maybe(series(SIDE, 2, 2)),
            "size_divisor": maybe(SIDE),
            "pad_val": real(0, 255),
            "seg_pad_val": whole(0, 255),
            "bgr_to_rgb": flag,
        },
    ),
    "SwinTransformer": Form(
        {"embed_dims": CHANNELS, "depths": DEPTHS, "num_heads": series(whole(1, 256), 1, MAX_STAGES)},
        {
            "pretrain_img_size": one_or_two(SIDE),
            "in_channels": choice(3),
            "patch_size": whole(1, 64),
            "window_size": whole(1, 24),
            "mlp_ratio": real(0.1, 16),
            "strides": series(whole(1, 64), 1, MAX_STAGES),
            "out_indices": series(whole(0, MAX_STAGES - 1), 1, MAX_STAGES),
            "qkv_bias": flag,
            "qk_scale": maybe(real(1e-6, 1e6)),
            "patch_norm": flag,
            **dict.fromkeys(("drop_rate", "attn_drop_rate", "drop_path_rate"), RATE),
            "use_abs_pos_embed": flag,
            "act_cfg": part("GELU", "ReLU"),
            "norm_cfg": part("LN"),
            "with_cp": flag,
            "frozen_stages": whole(-1, MAX_STAGES),
        },
        START,
    ),
    "HubBackbone": Form(
        {
            "model_type": choice("convnext"),
            "options": Form(
                {"hidden_sizes": series(CHANNELS, 1, MAX_STAGES), "depths": DEPTHS},
                {
                    "patch_size": whole(1, 64),
                    "drop_path_rate": RATE,
                    "layer_scale_init_value": SHARE,
                    "layer_norm_eps": real(1e-12, 1),
                    "hidden_act": choice("gelu", "relu"),
                },
            ),
        },
        dropped=START,
    ),
    "TraceBackbone": Form({}, {"channels": CHANNELS, "dilations": series(whole(1, 64), 1, 32)}, START),
    "UPerHead": Form(
        {
            **HEAD,
            "in_channels": series(CHANNELS, 1, MAX_STAGES),
            "in_index": series(whole(0, MAX_STAGES - 1), 1, MAX_STAGES),
        },
        {**HEAD_MORE, "pool_scales": series(whole(1, 64), 1, 8)},
        HEAD_DROPPED,
    ),
    "FCNHead": Form(
        {**HEAD, "in_channels": CHANNELS, "in_index": whole(0, MAX_STAGES - 1)},
        {
            **HEAD_MORE,
            "num_convs": whole(0, 8),
            "kernel_size": choice(1, 3, 5, 7),
            "concat_input": flag,
            "dilation": whole(1, 64),
        },
        HEAD_DROPPED,
    ),
    "BN": Form({}, {**NORM, "momentum": SHARE}),
    "SyncBN": Form({}, {**NORM, "momentum": SHARE}),
    "LN": Form({}, NORM),
    "ReLU": Form(),
    "GELU": Form(),
    # What a head was trained with; a card only predicts.
    "CrossEntropyLoss": Form(
        {},
        {
            "loss_weight": real(0, 1e4),
            "class_weight": maybe(series(real(0, 1e6), 1, MAX_CLASSES)),
            "use_sigmoid": choice(False),
        },
    ),
}

MODEL = part("EncoderDecoder", "MaskSegmenter", "MaskRejector", "PixelRejector")
