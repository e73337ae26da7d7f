"""A denoiser in fewer bits, by way of diffusers' own quantisers: a memory saving on cards, asked for by name.

What a model's folder says of quantisation is refused (`model_folder.py`); only these names are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch


@dataclass(frozen=True)
class Kind:
    """A way to quantise."""

    library: str
    make: Callable[[torch.dtype], Any]
    """dtype to compute in -> diffusers' quantization_config."""


def _bits_8(dtype: torch.dtype) -> Any:
    from diffusers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


def _bits_4(dtype: torch.dtype) -> Any:
    from diffusers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _torchao_8(dtype: torch.dtype) -> Any:
    from diffusers import TorchAoConfig

    return TorchAoConfig(import_module("torchao.quantization").Int8WeightOnlyConfig())


KINDS = {
    "bnb-8bit": Kind("bitsandbytes", _bits_8),
    "bnb-4bit": Kind("bitsandbytes", _bits_4),
    "torchao-int8": Kind("torchao", _torchao_8),
}
"""By the name that `model.quantise` takes."""


def load_options(name: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantise a denoiser on its way to the device; none for "".

    Raises ValueError for an unknown name, a device that is no card, or a library that is not here.
    """
    if not name:
        return {}
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"quantise is {name!r}; allowed are '', {', '.join(KINDS)}")
    if device.type != "cuda":
        raise ValueError(f"quantise is {name!r}, which needs a card; leave it '' on {device.type}")
    if find_spec(kind.library) is None:
        raise ValueError(
            f"quantise is {name!r}, which needs {kind.library}: pip install {kind.library}, or leave it ''"
        )
    return {"quantization_config": kind.make(dtype), "device_map": str(device)}
