"""Mask2Former and MaskFormer of the transformers library, built from plain numbers, and how large they are.

Legend: B pictures, Q queries, K classes, h w the masks' own resolution, H W that of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

NETWORKS = {"mask2former": "Mask2FormerForUniversalSegmentation", "maskformer": "MaskFormerForInstanceSegmentation"}
"""Architecture as transformers names it -> its class."""
DECODER = "decoder_config"
"""Of MaskFormer: the settings of a DETR, which transformers keeps as a configuration of their own."""


def build_network(network: Mapping[str, Any]) -> Any:
    """The network with random weights. `network` is of the form of detector.rejection.form.

    Raises ValueError where its numbers do not fit each other.
    """
    return network_class(network)(network_config(network))


def network_class(network: Mapping[str, Any]) -> Any:
    import transformers

    return getattr(transformers, NETWORKS[network["model_type"]])


def network_config(network: Mapping[str, Any]) -> Any:
    """transformers' configuration of it."""
    import transformers

    make, options = transformers.AutoConfig.for_model, dict(network["options"])
    if DECODER in options:
        options[DECODER] = make("detr", **options[DECODER])
    spine = make(**backbone_options(network["backbone"]))
    # transformers warns of a Mask2Former on a ResNet, although Cheng et al. 2022 published it.
    with only_errors():
        return make(network["model_type"], backbone_config=spine, num_labels=network["num_classes"], **options)


@contextmanager
def only_errors() -> Iterator[None]:
    """Without transformers' warnings."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def backbone_options(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the backbone's configuration; all stages come out."""
    stages = [f"stage{i + 1}" for i in range(len(backbone["options"]["depths"]))]
    return {"model_type": backbone["model_type"], **backbone["options"], "out_features": stages}


def count_values(network: Mapping[str, Any]) -> int:
    """Parameters and stored buffers, counted on a model without memory. Raises ValueError as `build_network`."""
    return _count(_frozen(network))


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((name, _frozen(one)) for name, one in sorted(value.items()))
    return tuple(_frozen(one) for one in value) if isinstance(value, (list, tuple)) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, tuple) and value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
        return {name: _thawed(one) for name, one in value}
    return [_thawed(one) for one in value] if isinstance(value, tuple) else value


@lru_cache(maxsize=16)
def _count(frozen: Any) -> int:
    try:
        with torch.device("meta"):
            model = build_network(_thawed(frozen))
    except Exception as error:  # transformers and torch raise a dozen types on numbers that do not fit
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"the network cannot be built ({reason[:200]})") from error
    return sum(tensor.numel() for tensor in model.state_dict().values())
