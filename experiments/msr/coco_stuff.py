"""Categories of photographs from COCO-Stuff's label maps (table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from detector.errors import InputError
from shards.config import find_config, load_config
from shards.errors import ConfigError, MissingInputError
from shards.images import decode_grey
from shards.masks import U8
from shards.sources.pictures import read_file

CONFIG = "configs/msr/coco_stuff.py"
MAX_ID = 182
OTHER = "other"
"""The category of a picture in which nothing speaks for one."""


@dataclass(frozen=True)
class Grouping:
    """Which category each class speaks for."""

    groups: dict[str, dict[str, int]]
    """Category -> class -> id, 1..182."""
    first: str = ""
    """The category that comes before the others; "" for none."""
    first_share: float = 0.1
    """Share of the picture, 0..1, from which it does."""

    def __post_init__(self) -> None:
        ids = [number for classes in self.groups.values() for number in classes.values()]
        if not ids or len(set(ids)) < len(ids) or not all(1 <= number <= MAX_ID for number in ids):
            raise ConfigError(f"groups must hold ids in 1..{MAX_ID}, each once; see {CONFIG}")
        if self.first and self.first not in self.groups:
            raise ConfigError(f"first is {self.first[:40]!r}; allowed are {', '.join(self.groups)}")
        if not 0 < self.first_share <= 1:
            raise ConfigError(f"first_share must lie above 0 and at most at 1, got {self.first_share}")


def category(labels: U8, grouping: Grouping) -> str:
    """uint8 HW, ids less 1 -> the category with most pixels, the earlier one of equals; `other` where none has any."""
    counts = np.bincount(labels.reshape(-1), minlength=256)
    areas = {name: int(counts[[i - 1 for i in ids.values()]].sum()) for name, ids in grouping.groups.items()}
    if grouping.first and areas[grouping.first] >= grouping.first_share * labels.size:
        return grouping.first
    best = max(areas, key=lambda name: areas[name])
    return best if areas[best] else OTHER


def category_of(picture: Path, maps: Path) -> str:
    """Of MAPS/NAME.png, where NAME is the picture's. Raises MissingInputError, InputError for what is no label map."""
    path = maps / f"{picture.stem}.png"
    if not path.is_file():
        raise MissingInputError(f"{path} does not exist: {picture} has no label map; fetch COCO-Stuff's stuffthingmaps")
    data = read_file(path, str(path))
    if not isinstance(data, bytes):
        raise InputError(f"{path} cannot be used ({data.reason}); fetch it again")
    try:
        labels = decode_grey(data)
    except ValueError as error:
        raise InputError(f"{path} is no label map ({error}); fetch it again") from error
    return category(labels, shipped())


@lru_cache(maxsize=1)
def shipped() -> Grouping:
    return load_config(find_config(CONFIG), Grouping)
