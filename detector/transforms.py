"""Transforms beside those of mmseg. Images are uint8 HWC RGB, label maps uint8 HW.

Flips are left out in the embedded world: a mirrored letter is a fault there. Elsewhere mmseg's RandomFlip does.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import TRANSFORMS, BaseTransform

from shards.masks import U8


def resize_linear(image: U8, height: int, width: int) -> U8:
    """uint8 HWC -> uint8 HWC, bilinear without a filter, as mmseg resizes; the same array where the size is right."""
    if image.shape[:2] == (height, width):
        return image
    resized: U8 = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized


@TRANSFORMS.register_module()
class ResizeImage(BaseTransform):
    """The image to size x size without keeping its ratio, the truth untouched: the test protocol of PAL4VST."""

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results["img"] = resize_linear(results["img"], self.size, self.size)
        results["img_shape"] = (self.size, self.size)
        return results


@TRANSFORMS.register_module()
class Light(BaseTransform):
    """Another light: the picture times 1 +- gain, each channel times 1 +- tint. Both 0 by default: no change."""

    def __init__(self, gain: float = 0.0, tint: float = 0.0) -> None:
        if not (0 <= gain < 1 and 0 <= tint < 1):
            raise ValueError(f"gain and tint must be in 0..1, got {gain} and {tint}")
        self.gain, self.tint = gain, tint

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.gain or self.tint:
            # The global generator is what the data set seeds for each draw.
            spread = np.random.uniform(-1, 1, 4)  # noqa: NPY002
            factor = 1 + self.gain * spread[0] + self.tint * spread[1:]
            results["img"] = np.clip(np.rint(results["img"] * factor), 0, 255).astype(np.uint8)
        return results
