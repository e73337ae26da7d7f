"""A diffusers pipeline that is already in memory as a backbone: its networks are used as they are, where they are.

Nothing is copied, moved, cast or loaded, and nothing of the pipeline is changed; its scheduler is only read. What is
done to the networks afterwards (a LoRA, another VAE, `to("cuda")`) is therefore seen by the next call, except that
prompts are cached: make another backbone after changing a text encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from corruptor.backbone import Backbone
from corruptor.families.family import Family
from corruptor.families.table import FAMILIES, marked
from corruptor.loading import DTYPES, Loaded, pick_vae_dtype


def backbone_of(pipe: Any) -> Backbone:
    """The backbone of a pipeline in memory, on its device and in its dtypes.

    Args:
        pipe: a diffusers pipeline of one of the classes in `Family.in_memory`, or of a class derived from one.

    Raises ValueError, one line: a pipeline of another class, parts that are missing, on several devices, offloaded, in
        training mode or in a dtype in which they overflow, and whatever `Backbone` refuses.
    """
    family = family_of_pipeline(pipe)
    names = [*family.models, *family.tokenizers]
    absent = [name for name in names if getattr(pipe, name, None) is None]
    missing = [name for name in absent if name not in family.optional]
    missing += [] if getattr(pipe, "scheduler", None) is not None else ["scheduler"]
    if missing:
        raise ValueError(f"the pipeline has no {', '.join(missing)}; needed are {', '.join(names)}")
    parts = {name: getattr(pipe, name) for name in names if name not in absent}
    networks = {name: parts[name] for name in family.models if name in parts}
    device = check_networks(networks)
    check_vae(family, parts[family.denoiser], parts["vae"])
    parts["scheduler"] = family.read_scheduler(pipe.scheduler.config)
    zero_negative = bool(pipe.config.get("force_zeros_for_empty_prompt", family.zero_negative))
    name = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    model_id = Path(name).name if Path(name).is_absolute() else name
    return Backbone(Loaded(family, parts, {}, zero_negative), device, model_id=model_id)


def family_of_pipeline(pipe: Any) -> Family:
    """The row that a pipeline in memory belongs to. Raises ValueError for another class."""
    classes = {cls.__name__ for cls in type(pipe).__mro__}
    rows = [family for family in FAMILIES.values() if classes & set(family.in_memory)]
    if not rows:
        allowed = ", ".join(dict.fromkeys(name for family in FAMILIES.values() for name in family.in_memory))
        raise ValueError(f"a {type(pipe).__name__} is not supported; allowed are {allowed}")

    def told(part: str, key: str) -> Any:
        owner = getattr(pipe, part, None) if part else pipe
        if owner is not None and key == "_class_name":  # a part that was made in memory has no file that names it
            return type(owner).__name__
        return None if owner is None else owner.config.get(key)

    return marked(rows, told)


def check_networks(networks: Mapping[str, Any]) -> torch.device:
    """That networks can be used where they are; returns the device. Raises ValueError."""
    offloaded = [name for name, network in networks.items() if hasattr(network, "_hf_hook")]
    if offloaded:
        raise ValueError(
            f"the pipeline's {', '.join(offloaded)} is offloaded between devices; call pipe.remove_all_hooks() and "
            f"move the pipeline to one device"
        )
    training = [name for name, network in networks.items() if network.training]
    if training:
        raise ValueError(
            f"the pipeline's {', '.join(training)} is in training mode, which drops out at random; call .eval() on it"
        )
    devices = {name: network.device for name, network in networks.items()}
    if len(set(devices.values())) > 1:
        where = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"the pipeline's parts are on several devices ({where}); move it to one: pipe.to(DEVICE)")
    return next(iter(devices.values()))


def check_vae(family: Family, denoiser: Any, vae: Any) -> None:
    """That the VAE is in a dtype that it does not overflow in. Raises ValueError."""
    for name, network in ((family.denoiser, denoiser), ("vae", vae)):
        if network.dtype not in DTYPES.values():
            raise ValueError(f"the pipeline's {name} is in {network.dtype}; allowed are {', '.join(DTYPES)}")
    try:
        pick_vae_dtype(vae.dtype, denoiser.dtype, family, vae.config)
    except ValueError as error:
        raise ValueError(
            "the pipeline's VAE is in float16, in which it overflows (its config has force_upcast); call "
            "pipe.vae.to(torch.float32), or load a VAE made for float16 such as madebyollin/sdxl-vae-fp16-fix"
        ) from error
