"""Pictures on which the oracle is tried: scenes of the calibration split, whole or with a drawn fault.

The oracle is told only what a caption says: kinds, looks and rough places, never a pose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniworld.evaluate.counting import Mask
from miniworld.world.faults import FAULT_KINDS, draw_fault, kinds_for
from miniworld.world.render import render
from miniworld.world.scenes import SIZES, Scene, sample_scene
from miniworld.world.splits import SPLITS

Job = tuple[int, NDArray[np.uint8], Scene]
"""Seed, picture after the round trip, and the scene as it was drawn."""
Judge = Callable[[list[Job], str], list[Any]]
Trip = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
CLEAN_OFFSET = 50_000
"""Clean scenes lie so far behind the scenes of drawn faults."""


def blind(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with what its caption does not say made neutral: sizes, turns, and places within a few pixels."""

    def forget(v: float) -> float:
        return float(np.clip(v + rng.uniform(-8, 8), 4, 60))

    things = tuple(
        replace(t, x=forget(t.x), y=forget(t.y), s=sum(SIZES[t.kind]) / 2, rot=0.0, gaze=0.0, spread=1.0, flip=False)
        for t in scene.things
    )
    return replace(scene, things=things)


def faulty_pictures(kind: str, count: int, first: int) -> Iterator[tuple[int, NDArray[np.uint8], Mask, Scene]]:
    """`count` pictures with one drawn fault of a kind: seed, picture, exact mask, scene as drawn."""
    made, seed = 0, SPLITS["calibration"].start + first
    while made < count:
        scene = sample_scene(seed)
        rng = np.random.default_rng([seed, FAULT_KINDS.index(kind)])
        drawn = draw_fault(scene, kind, rng) if kind in kinds_for(scene) else None
        if drawn is not None:
            made += 1
            yield seed, drawn.image, drawn.mask, drawn.scene
        seed += 1


def faulty_jobs(kind: str, count: int, first: int, trip: Trip) -> tuple[list[Job], list[Mask]]:
    """Drawn faults of a kind, and their exact masks."""
    seeds, images, masks, scenes = (list(column) for column in zip(*faulty_pictures(kind, count, first), strict=True))
    return list(zip(seeds, trip(np.stack(images)), scenes, strict=True)), masks


def clean_jobs(count: int, first: int, trip: Trip) -> list[Job]:
    """Valid scenes."""
    seeds = [SPLITS["calibration"].start + CLEAN_OFFSET + first + i for i in range(count)]
    scenes = [sample_scene(s) for s in seeds]
    return list(zip(seeds, trip(np.stack([render(s) for s in scenes])), scenes, strict=True))
