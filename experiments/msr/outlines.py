"""Where a segmenter of valid content rejects what is valid: at the outlines of things and parts, or within them.

The embedded world knows where the parts of a scene lie, to the pixel.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from detector.heat import Detector
from experiments.msr.plan import LabelledSet
from experiments.msr.sets import Labelled
from miniworld.world.render import part_labels
from miniworld.world.scenes import scene_from_dict
from shards.files import make_folder, write_json
from shards.masks import U8

REACH = (0, 1, 2)
"""Pixels around an outline that are left out."""


@dataclass(frozen=True)
class Outlines:
    """Counts over clean pictures; each list has a value for each distance of REACH."""

    pictures: int
    marked: int
    """Pixels taken for an artifact."""
    flagged: list[int]
    """Pictures with such a pixel further away than that from every outline and from the frame; 0 counts all."""
    near: list[int]
    """Such pixels that are not."""
    area: list[int]
    """All pixels that are not."""
    area_of_all: int
    """Pixels of all pictures."""


def distance(labels: NDArray[Any]) -> NDArray[np.int64]:
    """int HW labels -> steps (diagonal ones count as one) to the nearest pixel whose 4 neighbours are not all of one
    label, or that is at the frame: 1 on such a pixel, 2 beside it."""
    padded = np.pad(labels.astype(np.int64), 1, constant_values=-1)
    inner = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.any([side != inner for side in sides], axis=0)
    found: NDArray[np.int64] = ndimage.distance_transform_cdt(~edge, metric="chessboard").astype(np.int64) + 1
    return found


def look_for(opened: tuple[Detector, str], test: LabelledSet, limit: int, tau: float, out: Path) -> Outlines:
    """Of one detector on a clean set of the embedded world; kept under OUT. Raises UserErrors."""
    detector, digest = opened
    told = json.dumps(["outlines", digest, test.shards, limit, tau])
    path = out / "outlines" / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
    if path.is_file():
        return Outlines(**json.loads(path.read_text()))
    pictures = Labelled(test, limit)
    flagged, near, area = ([0] * len(REACH) for _ in range(3))
    marked = seen = 0
    for index in range(len(pictures)):
        image: U8 = pictures.load(index)[0]
        found = detector.heat([image])[0] >= tau
        away = distance(part_labels(scene_from_dict(pictures.scene(index))))
        marked, seen = marked + int(found.sum()), seen + found.size
        for place, reach in enumerate(REACH):
            flagged[place] += bool((found & (away > reach)).any())
            near[place] += int((found & (away <= reach)).sum())
            area[place] += int((away <= reach).sum())
    counts = Outlines(len(pictures), marked, flagged, near, area, seen)
    make_folder(path.parent)
    write_json(path, asdict(counts))
    return counts
