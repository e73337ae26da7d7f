"""`Detector`: pictures in, heat maps and masks out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blemish.inputs import InputError, Pictures, read_images
from blemish.results import Detections

if TYPE_CHECKING:
    from detector.heat import Detector as HeatDetector

SHIPPED = "region_select/weights/swin_mini.safetensors"
"""A small detector of the embedded world, trained on a hundred labelled pictures."""


class Detector:
    """A trained detector of artifacts. Made by `from_pretrained`; calling it looks at pictures.

    Args:
        network: the loaded detector, see `detector.heat`.
        batch_size: pictures that go through the network together.
    """

    def __init__(self, network: HeatDetector, batch_size: int = 16) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; needed: 1 or more")
        self.network, self.batch_size = network, batch_size

    @classmethod
    def from_pretrained(
        cls, path_or_name: str | Path = SHIPPED, *, device: str = "auto", batch_size: int = 16
    ) -> Detector:
        """Load weights.

        Args:
            path_or_name: a .safetensors file of `blemish detect train` or `blemish regions train`, or the folder of
                such a training; looked up as given, then beside the installed packages. By default the small detector
                of the embedded world.
            device: auto (cuda where there is a card, else cpu), cpu, cuda or cuda:N.

        Raises MissingInputError (a FileNotFoundError), CheckpointError (damaged, or other classes than clean and
            artifact), ConfigError (both ValueErrors).
        """
        from detector.heat import Detector as HeatDetector
        from region_select.selector import find_weights

        return cls(HeatDetector(find_weights(path_or_name), device=device), batch_size)

    def __call__(self, images: Pictures, threshold: float = 0.5) -> Detections:
        """Look at pictures of any sizes.

        Args:
            images: PIL, numpy or torch, one or many, see `blemish.inputs.read_images`.
            threshold: a pixel is an artifact from this probability on, 0 < threshold <= 1.

        Raises InputError (a ValueError).
        """
        if not 0.0 < threshold <= 1.0:
            raise InputError(f"threshold is {threshold}; allowed is 0 < threshold <= 1")
        pictures = read_images(images)
        heat = [
            one
            for first in range(0, len(pictures), self.batch_size)
            for one in self.network.heat(pictures[first : first + self.batch_size])
        ]
        masks = [(one >= np.float32(threshold)).astype(np.uint8) for one in heat]
        return Detections(tuple(heat), tuple(masks), tuple(float(mask.mean()) for mask in masks), threshold)
