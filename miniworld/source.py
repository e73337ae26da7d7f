"""Clean scenes as a source of `shards`: rendered on the fly, each a function of its seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from miniworld.world.objects import PARTS
from miniworld.world.render import part_labels, render, thing_labels
from miniworld.world.scenes import WORLD_VERSION, Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import SourceError
from shards.source import Region, Source, SourceItem

LICENCE = "Apache-2.0"
SPLIT = SPLITS["source"]


class MiniworldSource(Source):
    """Scenes of the seeds first_seed .. first_seed + count - 1.

    Items carry the caption, the scene's specification, and a region for every thing (`face-0`, numbered as in the
    scene) and for every visible part of it (`face.eye`, with the thing as parent). The uri is `miniworld:SEED`.

    Args:
        count: how many scenes.
        first_seed: the first seed; the whole range must lie in the split for clean sources.

    Raises SourceError (a ValueError) for a range outside the split.
    """

    name = "miniworld"
    card_title, card_licence = "Blemish miniworld", LICENCE
    grows = ("count",)

    def __init__(self, count: int = 1000, first_seed: int = SPLIT.start) -> None:
        last = SPLIT.start + SPLIT.count - 1
        for what, value in (("count", count), ("first_seed", first_seed)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise SourceError(f"source 'miniworld': {what} = {value!r} is no whole number")
        if count < 1 or first_seed < SPLIT.start or first_seed + count - 1 > last:
            raise SourceError(
                f"source 'miniworld': count = {count} from first_seed = {first_seed} leaves the clean sources, "
                f"{SPLIT.start}..{last}: choose first_seed and a count of at least 1 inside it"
            )
        self.first_seed, self.count = first_seed, count

    def __len__(self) -> int:
        return self.count

    def seed(self, index: int) -> int:
        """The scene seed of item `index`. Raises IndexError outside 0..len-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} is outside 0..{self.count - 1}")
        return self.first_seed + index

    def scene(self, index: int) -> Scene:
        """The full specification of item `index`."""
        return sample_scene(self.seed(index))

    def __getitem__(self, index: int) -> SourceItem:
        scene = self.scene(index)
        image = render(scene)
        # The light's amount and slope differ in every scene, so no two seeds share their pixels and no item is a copy.
        return SourceItem(
            image=image,
            uri=f"miniworld:{scene.seed}",
            sha256=hashlib.sha256(image.tobytes()).hexdigest(),
            caption=caption(scene),
            set_name=self.name,
            licence=LICENCE,
            scene=scene.to_dict(),
            regions=regions_of(scene),
        )

    def listing(self) -> Iterator[str]:
        return (f"miniworld:{self.seed(index)} world {WORLD_VERSION}" for index in range(self.count))


def regions_of(scene: Scene) -> tuple[Region, ...]:
    """A region for every visible thing, each followed by its visible parts; masks are uint8 HW, 0 or 1."""
    things, parts = thing_labels(scene), part_labels(scene)
    found: list[Region] = []
    for k, thing in enumerate(scene.things):
        mine = things == k + 1
        if not mine.any():
            continue
        name = f"{thing.kind}-{k}"
        found.append(Region(name, mine.astype(np.uint8)))
        for p in np.unique(parts[mine]):
            found.append(Region(PARTS[p - 1], (mine & (parts == p)).astype(np.uint8), name))
    return tuple(found)
