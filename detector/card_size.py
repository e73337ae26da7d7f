"""How large is the model that a card describes? Counted from its numbers, so that none is built that is too large.

Legend: a side is of a square map in pixels; C a map's channels; values are numbers of any type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_VALUES = 1 << 29
"""Most values a model may have, 2 GiB as 32-bit floats: twice UPerNet with Swin-L."""
HEADS = ("decode_head", "auxiliary_head")
WIDEST = 1 << 25
"""Most values a layer may compute for one picture, 128 MiB; more only where the model itself is large."""


@dataclass(frozen=True)
class Size:
    """Of a backbone or head, for one picture."""

    channels: tuple[int, ...]
    """Of each map that comes out, fine first."""
    sides: tuple[int, ...]
    """Of the same maps."""
    values: int
    """Parameters and buffers as a file of weights holds them."""
    spare: int
    """Values of tables that follow from the config, which a file may leave out."""
    widest: int
    """Most values that one layer computes."""


def model_size(model: Mapping[str, Any], image_size: int) -> Size:
    """Of a model of the form of detector.card_form. Raises ValueError where its parts do not fit each other."""
    if "network" in model:
        return network_size(model["network"], image_size)
    spine = backbone_size(model["backbone"], image_size)
    heads = [
        head_size(f"model.{name}", model[name], spine, image_size) for name in HEADS if model.get(name) is not None
    ]
    if len({model[name]["num_classes"] for name in HEADS if model.get(name) is not None}) > 1:
        raise ValueError("decode_head and auxiliary_head must have the same num_classes")
    parts = [spine, *heads]
    values, spare = sum(one.values for one in parts), sum(one.spare for one in parts)
    return Size(spine.channels, spine.sides, values, spare, max(one.widest for one in parts))


def check_size(model: Mapping[str, Any], image_size: int) -> Size:
    """As `model_size`. Raises ValueError, also for a model that takes more memory than a card may ask for."""
    size = model_size(model, image_size)
    if size.values + size.spare > MAX_VALUES:
        raise ValueError(f"the model has {size.values + size.spare} values; at most {MAX_VALUES} are built")
    most = max(WIDEST, 4 * size.values)
    if size.widest > most:
        raise ValueError(
            f"a layer computes {size.widest} values for a picture of {image_size} x {image_size}; "
            f"at most {most} are allowed in a model of {size.values}; a smaller image_size needs fewer"
        )
    return size


def backbone_size(config: Mapping[str, Any], side: int) -> Size:
    measure = {"SwinTransformer": swin_size, "HubBackbone": convnext_size, "TraceBackbone": trace_size}
    return measure[config["type"]](config, side)


def network_size(network: Mapping[str, Any], side: int) -> Size:
    """A mask-classification network's, whose values are counted on a model without memory."""
    from detector.rejection.network import count_values

    options, spine = network["options"], network["backbone"]["options"]
    decoder = options.get("decoder_config", {})
    heads = options.get("num_attention_heads", decoder.get("decoder_attention_heads", 8))
    channels = options.get("feature_size", options.get("fpn_feature_size", 256))
    queries = options.get("num_queries", decoder.get("num_queries", 100))
    across, wide = (resnet_widest if "embed_dim" not in spine else swin_widest)(spine, side)
    finest = (side // options.get("common_stride", 4) + 1) ** 2
    third = across**2 / 4 ** (len(spine["depths"]) - 3)  # the finest of the three levels that are encoded
    tokens = third * (1 + 1 / 4 + 1 / 16)
    encoded = tokens * max(options.get("encoder_feedforward_dim", 1024), 24 * heads)
    attended = queries * heads * third
    widest = max(across**2 * wide, finest * max(9 * channels, queries), int(encoded), int(attended))
    return Size((), (), count_values(network), 0, widest)


def swin_widest(spine: Mapping[str, Any], side: int) -> tuple[int, int]:
    """Tokens along a side of the first stage, padded to windows, and the most values of one of them."""
    patch, window, embed = spine.get("patch_size", 4), spine.get("window_size", 7), spine["embed_dim"]
    across = math.ceil(math.ceil(side / patch) / window) * window
    return across, max(3 * embed, int(spine.get("mlp_ratio", 4) * embed), window**2 * spine["num_heads"][0])


def resnet_widest(spine: Mapping[str, Any], side: int) -> tuple[int, int]:
    """Pixels along a side of the first stage, and the most values of one of them: of its layers, or of the stem's,
    which has four times as many pixels."""
    across = math.ceil(side / 4)
    return across, max(spine.get("hidden_sizes", [256])[0], 4 * spine.get("embedding_size", 64))


def swin_size(config: Mapping[str, Any], side: int) -> Size:
    """mmseg's SwinTransformer."""
    patch, window, embed = config.get("patch_size", 4), config.get("window_size", 7), config["embed_dims"]
    depths, heads = config["depths"], config["num_heads"]
    strides = config.get("strides", [4, 2, 2, 2])
    out = config.get("out_indices", list(range(4)))
    need(len(heads) == len(strides) == len(depths), "depths, num_heads and strides must be equally long", config)
    need(strides[0] == patch, f"strides must begin with patch_size {patch}", config)
    need(sorted(set(out)) == out and out[-1] < len(depths), "out_indices must rise and name stages", config)
    norm = 2 if config.get("patch_norm", True) else 0
    values, spare, widest = embed * (3 * patch**2 + 1 + norm), 0, 0
    if config.get("use_abs_pos_embed", False):
        start = config.get("pretrain_img_size", 224)
        high, wide = start if isinstance(start, list) else (start, start)
        values += (high // patch) * (wide // patch) * embed
        need(high // patch == wide // patch == -(-side // patch), "absolute positions fit no other size", config)
    sides = []
    for i, depth in enumerate(depths):
        c = embed << i
        need(c % heads[i] == 0, f"{c} channels cannot be shared by {heads[i]} heads", config)
        hidden = int(config.get("mlp_ratio", 4) * c)
        block = 4 * c + (2 * window - 1) ** 2 * heads[i] + 4 * c * c + c + 2 * c * hidden + hidden + c
        block += 3 * c if config.get("qkv_bias", True) else 0
        values, spare = values + depth * block, spare + depth * window**4
        side = -(-side // strides[i])
        sides.append(side)
        tokens = (-(-side // window) * window) ** 2
        widest = max(widest, tokens * max(3 * c, hidden, window**2 * heads[i]))
        if i + 1 < len(depths):
            four = strides[i + 1] ** 2 * c
            values += norm * four + 2 * four * c
            widest = max(widest, four * (-(-side // strides[i + 1])) ** 2)
    channels = [embed << i for i in out]
    return Size(tuple(channels), tuple(sides[i] for i in out), values + 2 * sum(channels), spare, widest)


def convnext_size(config: Mapping[str, Any], side: int) -> Size:
    """transformers' ConvNextBackbone, all stages out."""
    options = config["options"]
    widths, depths, patch = options["hidden_sizes"], options["depths"], options.get("patch_size", 4)
    need(len(widths) == len(depths), "hidden_sizes and depths must be equally long", config)
    scaled = 1 if options.get("layer_scale_init_value", 1e-6) > 0 else 0
    values, widest, sides = widths[0] * (3 * patch**2 + 1 + 2), 0, []
    for i, (c, depth) in enumerate(zip(widths, depths, strict=True)):
        if i:
            before = widths[i - 1]
            values += 2 * before + 4 * before * c + c
        values += depth * (50 * c + 2 * c + 8 * c * c + 5 * c + scaled * c) + 2 * c
        side //= patch if i == 0 else 2
        need(side >= 1, "the picture is too small for its stages", config)
        sides.append(side)
        widest = max(widest, 4 * c * side**2)
    return Size(tuple(widths), tuple(sides), values, 0, widest)


def trace_size(config: Mapping[str, Any], side: int) -> Size:
    """detector.trace_backbone: 3 x 3 convolutions with batch normalisation at full resolution."""
    channels, layers = config.get("channels", 24), len(config.get("dilations", [1] * 5))
    convs = 9 * channels * (6 + (layers - 1) * channels)
    return Size((channels,), (side,), convs + layers * (4 * channels + 1), 0, side**2 * max(6, channels))


def head_size(name: str, config: Mapping[str, Any], spine: Size, side: int) -> Size:
    """mmseg's UPerHead or FCNHead behind a backbone."""
    listed = config["type"] == "UPerHead"
    places = config["in_index"] if listed else [config["in_index"]]
    given = config["in_channels"] if listed else [config["in_channels"]]
    have = [spine.channels[i] if i < len(spine.channels) else 0 for i in places]
    if have != given:
        raise ValueError(
            f"{name} takes maps of {given} channels at {places}; the backbone gives {list(spine.channels)}"
        )
    sides = [spine.sides[i] for i in places]
    values, widest = (uper_size if listed else fcn_size)(config, given, sides)
    classes = config["num_classes"]
    values += (config["channels"] + 1) * classes
    return Size((), (), values, 0, max(widest, classes * side**2))


def uper_size(config: Mapping[str, Any], given: list[int], sides: list[int]) -> tuple[int, int]:
    """(values, widest) without the classifier."""
    scales, channels = config.get("pool_scales", [1, 2, 3, 6]), config["channels"]
    pooled, levels = given[-1] + len(scales) * channels, len(given)
    shapes = [(given[-1], 1)] * len(scales) + [(pooled, 3)]
    shapes += [(c, 1) for c in given[:-1]] + [(channels, 3)] * (levels - 1) + [(levels * channels, 3)]
    widest = max(
        max(sides) ** 2 * levels * channels, sides[-1] ** 2 * pooled, max(scales) ** 2 * max(given[-1], channels)
    )
    return sum(conv_values(config, c, channels, kernel) for c, kernel in shapes), widest


def fcn_size(config: Mapping[str, Any], given: list[int], sides: list[int]) -> tuple[int, int]:
    """(values, widest) without the classifier."""
    channels, convs, kernel = config["channels"], config.get("num_convs", 2), config.get("kernel_size", 3)
    shapes = [given[0]] * min(convs, 1) + [channels] * max(0, convs - 1)
    need(convs > 0 or given[0] == channels, "without convolutions channels must be in_channels", config)
    both = given[0] + channels
    if config.get("concat_input", True):
        shapes.append(both)
    return sum(conv_values(config, c, channels, kernel) for c in shapes), sides[0] ** 2 * both


def conv_values(config: Mapping[str, Any], before: int, after: int, kernel: int) -> int:
    """mmcv's ConvModule: a bias, or batch normalisation with its running statistics."""
    return kernel**2 * before * after + (after if config.get("norm_cfg") is None else 4 * after + 1)


def need(holds: bool, rule: str, config: Mapping[str, Any]) -> None:
    if not holds:
        raise ValueError(f"{config['type']}: {rule}")


def chunk(widest: int, on_card: bool) -> int:
    """Pictures a forward pass, so that a layer's values stay within 256 MiB, on a card within 4 GiB."""
    return max(1, math.floor((1 << (30 if on_card else 26)) / max(1, widest)))
