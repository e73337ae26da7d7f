"""How different two pictures look to a network, place by place: 1 - cosine of its features.

In the manner of perceptual distances over deep features (Zhang et al., CVPR 2018), without weights learned on top.
Legend: B pictures, C channels, H W pixels, h w places of a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from detector.checkpoint import load_detector
from detector.compat import quiet
from detector.errors import CheckpointError
from detector.heat import pick_device
from detector.rejection.hub import HUB_ID, MEAN, STD, no_bar
from detector.transforms import resize_linear
from shards.config import INSTALLED
from shards.errors import MissingInputError
from shards.files import hash_file
from shards.masks import U8

Distances = Callable[[Sequence[U8], Sequence[U8]], list[NDArray[np.float32]]]
"""uint8 HWC pictures and as many of the same sizes -> float32 HW of each pair, 0..2."""
Maps = Callable[[U8], list[torch.Tensor]]
"""uint8 HWC -> float 1Chw of each level."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
SMALLEST_PATCH = 32
"""Sides are brought to multiples of it where a model does not tell its patches."""


def open_distance(where: str, revision: str = "main", device: str = "auto") -> Distances:
    """One pair goes through the network at a time, so that batches change nothing.

    Args:
        where: a .safetensors file of ours, as given or beside the installed packages, else a folder or hub id.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    target = pick_device(device)
    path = find_features(where, revision)
    maps = of_backbone(path, target) if path.is_dir() else of_detector(path, target)
    return lambda pictures, twins: [
        distance(maps(one), maps(other), one.shape[:2]) for one, other in zip(pictures, twins, strict=True)
    ]


def distance(
    first: Sequence[torch.Tensor], second: Sequence[torch.Tensor], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """1 - cosine at each place, brought to H W bilinearly, mean over the levels; 0 where both have no features."""
    levels = []
    for one, other in zip(first, second, strict=True):
        apart = 1 - functional.cosine_similarity(one.float(), other.float(), dim=1)
        apart = torch.where((one == other).all(dim=1), torch.zeros_like(apart), apart)
        levels.append(functional.interpolate(apart[None], size, mode="bilinear", align_corners=False)[0, 0])
    found: NDArray[np.float32] = torch.stack(levels).mean(dim=0).clamp(0, 2).cpu().numpy()
    return found


def find_features(where: str, revision: str) -> Path:
    """The file or folder, from this machine's cache or fetched. Raises MissingInputError."""
    for candidate in (Path(where), INSTALLED / where):
        if candidate.exists():
            return candidate
    if not HUB_ID.fullmatch(where) or where.endswith(".safetensors"):
        raise MissingInputError(f"network {where} does not exist; name weights of ours, a folder, or a hub id")
    from huggingface_hub import snapshot_download

    reason = ""
    for local in (True, False):
        try:
            found = snapshot_download(
                where, revision=revision, allow_patterns=[WEIGHTS, CONFIG], local_files_only=local
            )
            if (Path(found) / WEIGHTS).is_file():
                return Path(found)
            reason = f"it has no {WEIGHTS}"
        except Exception as error:  # the hub raises its own, the network's and the system's errors
            reason = type(error).__name__
    raise MissingInputError(
        f"network {where} is not on this machine and could not be fetched ({reason}); on a machine with a network run "
        f"`hf download {where} --revision {revision} {WEIGHTS} {CONFIG}`"
    )


def features_digest(where: str, revision: str = "main") -> str:
    """sha256 of the files that `open_distance` reads. Raises MissingInputError."""
    path = find_features(where, revision)
    files = [path / name for name in (CONFIG, WEIGHTS)] if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            raise MissingInputError(f"network {where} has no {file.name}; fetch or save it again")
    return "-".join(hash_file(file) for file in files)


def of_detector(path: Path, device: torch.device) -> Maps:
    """The levels of a backbone of ours, at the size it was trained for."""
    model, card = load_detector(path)
    model.to(device).eval()
    norm: Any = model.data_preprocessor

    @torch.inference_mode()
    def maps(image: U8) -> list[torch.Tensor]:
        sized = resize_linear(image, card.image_size, card.image_size)
        pixels = torch.from_numpy(np.ascontiguousarray(sized)).to(device).permute(2, 0, 1)[None].float()
        return list(model.backbone((pixels - norm.mean) / norm.std))

    if not hasattr(model, "backbone"):
        raise CheckpointError(f"{path} has no backbone whose features could be compared; name a detector of ours")
    return maps


def of_backbone(path: Path, device: torch.device) -> Maps:
    """The feature maps of a vision model of transformers, at the picture's own size in whole patches."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    try:
        with quiet(), no_bar():
            config = AutoConfig.from_pretrained(str(path), local_files_only=True)
            kind = MODEL_FOR_BACKBONE_MAPPING[type(config)]
            model = kind.from_pretrained(str(path), config=config, use_safetensors=True, local_files_only=True)
            model = model.to(device).eval()
    except Exception as error:  # transformers and safetensors raise a dozen unrelated types on what does not fit
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise CheckpointError(f"{path} has no feature maps to be had ({reason}); name a vision backbone") from error
    patch = getattr(model.config, "patch_size", SMALLEST_PATCH)
    patch = patch if isinstance(patch, int) and patch > 0 else SMALLEST_PATCH
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))

    @torch.inference_mode()
    def maps(image: U8) -> list[torch.Tensor]:
        height, width = (max(2, round(side / patch)) * patch for side in image.shape[:2])
        sized = resize_linear(image, height, width)
        pixels = torch.from_numpy(np.ascontiguousarray(sized)).to(device).permute(2, 0, 1)[None].float() / 255
        return list(model((pixels - mean) / std).feature_maps)

    return maps
