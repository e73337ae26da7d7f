"""How likely each place of a picture belongs to chosen classes of a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detector.checkpoint import fitted
from detector.heat import enlarge, pick_device, sides
from detector.rejection.hub import find_segmenter, read_segmenter
from detector.transforms import resize_linear
from shards.build import nearest
from shards.errors import ConfigError
from shards.masks import U8


def open_classes(
    where: str, classes: Sequence[str], revision: str = "main", device: str = "auto"
) -> Callable[[Sequence[U8]], list[NDArray[np.float32]]]:
    """uint8 HWC pictures -> float32 HW of each, 0..1: the largest, over the classes, of p(class) (K - place) / K, where
    `place` is that in the list of the K classes. One picture goes through the network at a time.

    Args:
        where: a segmenter, see `detector.rejection.hub`. classes: names, or numbers as text.

    Raises MissingInputError, CheckpointError, ConfigError for a class that it does not have.
    """
    target = pick_device(device)
    path = find_segmenter(where, revision)
    tensors, card = read_segmenter(path)
    model = fitted(card, tensors, path).to(target)
    columns = [place_of(name, card.classes) for name in classes]
    weights = torch.tensor([(len(columns) - k) / len(columns) for k in range(len(columns))], device=target)
    norm: Any = model.data_preprocessor

    @torch.inference_mode()
    def look(image: U8) -> NDArray[np.float32]:
        sized = resize_linear(image, *sides(image.shape, card.image_size, card.model.get("keep_ratio", False)))
        pixels = torch.from_numpy(np.ascontiguousarray(sized)).to(target).permute(2, 0, 1)[None].float()
        shape = pixels.shape[2:]
        metas = [{"ori_shape": shape, "img_shape": shape, "pad_shape": shape}]
        share = model.encode_decode((pixels - norm.mean) / norm.std, metas).softmax(1)[0, columns]
        return enlarge((share * weights[:, None, None]).amax(0).float().cpu(), *image.shape[:2])

    return lambda images: [look(image) for image in images]


def place_of(name: str, classes: Sequence[str]) -> int:
    """Position of a class. Raises ConfigError, naming the nearest."""
    if name in classes:
        return list(classes).index(name)
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    raise ConfigError(f"the segmenter has no class {name[:60]!r}{nearest(name[:60], classes[:200])}")
