"""What every policy may be told about the size of its regions, and how a mask is made to obey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from shards.masks import ARTIFACT, CLEAN, U8, label_components

MAX_DILATION = 1024


@dataclass(frozen=True)
class Limits:
    """Applied in the order of the fields. Areas are shares of the picture, 0..1."""

    dilation: int = 0
    """Grow the mask by so many pixels (diagonal steps count as one)."""
    min_component_area: float = 0.0
    """Smaller components (8 neighbours) are left out."""
    max_components: int = 0
    """At most so many components, the largest; 0 for any number."""
    min_area: float = 0.0
    """A mask below this in all is no region."""
    max_area: float = 1.0
    """Components are taken from the largest down; one that would exceed this in all is left out."""

    def __post_init__(self) -> None:
        if not 0 <= self.dilation <= MAX_DILATION or self.max_components < 0:
            raise ValueError(
                f"dilation must be in 0..{MAX_DILATION} and max_components 0 or more, "
                f"got {self.dilation} and {self.max_components}"
            )
        if not 0.0 <= self.min_area <= self.max_area <= 1.0 or not 0.0 <= self.min_component_area <= 1.0:
            raise ValueError(
                f"areas are shares of the picture with 0 <= min_area <= max_area <= 1, got min_area {self.min_area}, "
                f"max_area {self.max_area}, min_component_area {self.min_component_area}"
            )


def apply_limits(mask: U8, limits: Limits) -> tuple[U8 | None, str]:
    """uint8 HW with 0, 1, 255 -> (a mask that obeys, or None; why not). Ignored pixels stay as they are."""
    if not (mask == ARTIFACT).any():
        return None, "the mask is empty"
    grown = mask
    if limits.dilation:
        wide = ndimage.maximum_filter(mask == ARTIFACT, size=2 * limits.dilation + 1, mode="constant")
        grown = np.where(wide & (mask == CLEAN), np.uint8(ARTIFACT), mask)
    labels, count = label_components(grown)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    chosen: list[int] = []
    total = 0
    # Largest first; equal sizes in scan order, so that the outcome is defined.
    for index in np.argsort(-sizes, kind="stable"):
        size = int(sizes[index])
        full = limits.max_components and len(chosen) == limits.max_components
        if full or size < limits.min_component_area * mask.size or total + size > limits.max_area * mask.size:
            continue
        chosen.append(int(index) + 1)
        total += size
    if not chosen:
        return None, f"none of {count} components fits the limits (largest {int(sizes.max())} of {mask.size} pixels)"
    if total < limits.min_area * mask.size:
        return None, f"{total} of {mask.size} pixels; min_area is {limits.min_area:g}"
    kept = np.isin(labels, chosen)
    return np.where((grown == ARTIFACT) & ~kept, np.uint8(CLEAN), grown), ""
