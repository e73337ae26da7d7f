"""The oracle's word; no torch, since its processes import this file."""

from __future__ import annotations

from pathlib import Path

from miniworld.oracle.explain import explain
from miniworld.world.scenes import sample_scene
from shards.images import decode_image


def has_fault(task: tuple[Path, int]) -> bool:
    """Whether there is a fault in a picture file, given the seed of its scene."""
    return faulty_area(task) > 0


def faulty_area(task: tuple[Path, int]) -> int:
    """Faulty pixels of a picture file, given the seed of its scene."""
    path, seed = task
    return int(explain(decode_image(path.read_bytes()), sample_scene(seed)).mask.sum())
