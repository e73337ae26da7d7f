"""What the public calls return: frozen dataclasses of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray

from shards.masks import ARTIFACT, U8, mask_to_file

if TYPE_CHECKING:
    from PIL.Image import Image

    from corruptor.verify import Verification

Verdict = Literal["artifact", "unchanged", "clean"]


@dataclass(frozen=True)
class Corrupted:
    """Corrupted pictures with their labels, a row each; with `variants` the rows of one picture are neighbours.

    `np.stack(result.images)` is BHWC where all pictures have one size.
    """

    images: tuple[U8, ...]
    """uint8 HWC RGB, 0..255: with artifacts, or for rows with an empty mask a clean reconstruction."""
    labels: tuple[U8, ...]
    """uint8 HW: 0 clean, 1 artifact, 255 ignore. The mask after verification: what really changed."""
    twins: tuple[U8, ...]
    """uint8 HWC RGB: the source through the model's VAE alone, the clean twin of each row."""
    requested_masks: tuple[U8, ...]
    """uint8 HW: 0, 1, 255; where artifacts were asked for, at the size of the images."""
    measured: tuple[Verification, ...]
    """Change against the twin, 0..255: inside, in the ring around and outside, and of every component."""
    seeds: tuple[int, ...]
    """Seed of each row's noise: `corruptor.noise.sample_seed(seed, sha256 of the pixels, 0, variant)`."""
    nfe: tuple[int, ...]
    """Evaluations of the UNet that each row rests on; an inversion that several rows share counts in each."""
    prompts: tuple[str, ...]
    source_of_row: tuple[int, ...]
    """Which of the given pictures each row was made of."""
    masks_read_as: str
    """How the values of the masks were understood, such as "0 clean, 255 artifact"."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """`artifact`: the label has artifact pixels; `unchanged`: a mask was given, but nothing under it changed enough
        (no good as a sample: leave it out or take another seed); `clean`: the mask was empty."""
        return tuple(map(_verdict, self.labels, self.requested_masks))

    def pil(self) -> list[Image]:
        """The images as PIL, mode RGB."""
        from PIL import Image

        return [Image.fromarray(image) for image in self.images]

    def labels_pil(self) -> list[Image]:
        """The labels as PIL, mode L, as they are stored in files: 0 clean, 255 artifact, 128 ignore."""
        from PIL import Image

        return [Image.fromarray(mask_to_file(label)) for label in self.labels]

    def __str__(self) -> str:
        lines = [f"{len(self)} corrupted (masks read as {self.masks_read_as})"]
        for place, (verdict, one) in enumerate(zip(self.verdicts, self.measured, strict=True)):
            area = float((self.labels[place] == ARTIFACT).mean())
            lines.append(
                f"  {place}: {verdict}, {one.num_components_kept} of {one.num_components} components kept, label "
                f"{area:.1%} of the picture; change {one.change_inside:.1f} inside, {one.change_ring:.1f} around, "
                f"{one.change_outside:.1f} outside (of 255)"
            )
        return "\n".join(lines)


def _verdict(label: U8, requested: U8) -> Verdict:
    if (label == ARTIFACT).any():
        return "artifact"
    return "unchanged" if (requested == ARTIFACT).any() else "clean"


@dataclass(frozen=True)
class Detections:
    """What a detector sees, a row for each picture, each at the picture's own size."""

    heat: tuple[NDArray[np.float32], ...]
    """float32 HW: probability 0..1 of an artifact."""
    masks: tuple[U8, ...]
    """uint8 HW: 1 where heat >= threshold, else 0."""
    par: tuple[float, ...]
    """Share of each picture that is artifact, 0..1."""
    threshold: float

    def __len__(self) -> int:
        return len(self.heat)

    def __str__(self) -> str:
        lines = [f"{len(self)} pictures, artifact from {self.threshold:g} on"]
        for place, (heat, par) in enumerate(zip(self.heat, self.par, strict=True)):
            lines.append(f"  {place}: {par:.2%} artifact, highest {float(heat.max()):.2f}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Regions(Sequence[U8]):
    """Proposed masks, one for each picture: a sequence that a `Corruptor` takes as it is."""

    masks: tuple[U8, ...]
    """uint8 HW: 0 leave alone, 1 damage here, 255 ignore; all 0 where nothing was found."""
    found: tuple[bool, ...]
    details: tuple[str, ...]
    """Where nothing was found: why."""

    def __len__(self) -> int:
        return len(self.masks)

    @overload
    def __getitem__(self, index: int) -> U8: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[U8]: ...
    def __getitem__(self, index: int | slice) -> U8 | Sequence[U8]:
        return self.masks[index]

    def __iter__(self) -> Iterator[U8]:
        return iter(self.masks)
