"""Scene segmentation as a first task, as ADE20K is for photographs: scenes rendered from seeds, labels known exactly.

Which world the scenes come from is the config's to say, by dotted names that are imported when the data set is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from detector.data import PipelineDataset
from shards.errors import ConfigError
from shards.extensions import load_target
from shards.masks import U8


@DATASETS.register_module()
class SceneDataset(PipelineDataset):
    """Scenes of the seeds first_seed .. first_seed + count - 1; each is rendered once and then kept.

    Args:
        scene: "module:function", seed -> scene. image: scene -> uint8 HWC RGB. labels: scene -> uint8 HW.
        names: "module:attribute", the names of the labels 1, 2, ..; label 0 is the ground.
        count: number of scenes; kept pixels take 4 bytes each, 16 KB for a picture of 64 x 64.

    Raises ConfigError where a name leads nowhere.
    """

    def __init__(
        self,
        scene: str,
        image: str,
        labels: str,
        names: str,
        first_seed: int,
        count: int,
        pipeline: Sequence[dict[str, Any]],
        seed: int = 0,
    ) -> None:
        super().__init__(pipeline, seed)
        try:
            self.scene, self.image, self.labels = (load_target(name) for name in (scene, image, labels))
            classes: Any = load_target(names)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"scenes: {error}; names have the form module:attribute") from error
        self.first_seed, self.count = first_seed, count
        self.metainfo = {"classes": ("ground", *classes), "palette": palette(1 + len(classes))}
        self.kept: U8 | None = None
        self.have = np.zeros(count, bool)

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> tuple[U8, U8, str]:
        seed = self.first_seed + index
        if self.kept is None or not self.have[index]:
            made = self.scene(seed)
            stacked = np.dstack([self.image(made), self.labels(made)])
            if self.kept is None:
                self.kept = np.empty((self.count, *stacked.shape), np.uint8)
            self.kept[index], self.have[index] = stacked, True
        return self.kept[index, :, :, :3], self.kept[index, :, :, 3], str(seed)


def palette(count: int) -> list[list[int]]:
    """A fixed colour for each label."""
    return np.random.Generator(np.random.PCG64(0)).integers(0, 256, (count, 3)).tolist()
