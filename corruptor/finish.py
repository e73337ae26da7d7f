"""Step 5 of the method: source pixels where the config wants them, and labels of what changed.

Legend: B source images, N rows, H and W pixels or latent cells. Images uint8 0..255, masks uint8 (0 clean, 1 artifact,
255 ignore).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corruptor.config import CorruptionConfig
from corruptor.rows import InvertedBatch, ResampledRows, Rows
from corruptor.verify import Verification, verify


@dataclass(frozen=True)
class Nfe:
    """Noise predictions: samples summed over the denoiser's calls (guidance counts twice)."""

    inversion: int
    resampling: int


@dataclass(frozen=True)
class Climbed:
    """What a ladder came to for one row. Components are in the order of the verification's."""

    steps: tuple[int, ...]
    """Start step of each component as it is in the picture."""
    tries: tuple[int, ...]
    """Number of the try whose noise each component holds, 0 = the first."""
    num_tries: int
    """Tries that were made of the row."""


@dataclass(frozen=True)
class CorruptedBatch:
    """N finished rows, on the CPU."""

    images_NHWC: Tensor
    """uint8; corrupted, or for rows with an empty mask the uninjected reconstruction."""
    masks_NHW: Tensor
    """uint8 0, 1, 255: the label after verification."""
    requested_masks_NHW: Tensor
    """uint8: the masks as given."""
    cells_NHW: Tensor
    """bool: the latent cells that were injected, (N, H / factor, W / factor); none where the config says `sham`."""
    round_trips_NHWC: Tensor
    """uint8: the source of each row through the VAE alone."""
    source_of_row: tuple[int, ...]
    """Index of each row's source image."""
    seeds: tuple[int, ...]
    verifications: tuple[Verification, ...]
    nfe: Nfe
    resampling_nfe: tuple[int, ...]
    """Noise predictions of each row, all tries of a ladder included, without the inversion."""
    start_steps: tuple[int, ...]
    """Where the resampling of each row's picture began."""
    climbed: tuple[Climbed, ...] = ()
    """What each row's ladder came to; empty without one."""
    kinds: tuple[str, ...] = ()
    """What each row's damage is, see `corruptor.kinds`; empty where nothing was asked for."""
    prompts: tuple[str | None, ...] = ()
    """What rows were resampled with in place of their source's prompt; None or empty: that."""

    def nfe_of(self, place: int) -> int:
        """Noise predictions that a row rests on; an inversion that several rows share counts in each."""
        return self.nfe.inversion // len(set(self.source_of_row)) + self.resampling_nfe[place]


Opinion = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]
"""uint8 HWC pictures -> float HW of each, 0..1, higher is an artifact (`verification.second_opinion`)."""
Distance = Callable[[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]
"""uint8 HWC pictures and their twins -> float HW of each pair, 0..2 (`verification.band`)."""


@dataclass(frozen=True)
class Judges:
    """Networks that verification asks beside the change of pixels."""

    opinion: Opinion | None = None
    """What `verification.second_opinion` names; needed where that is set."""
    distance: Distance | None = None
    """What `verification.band` names; needed where that is set."""


NOBODY = Judges()


def finish_rows(
    resampled: ResampledRows,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    factor: int,
    judges: Judges = NOBODY,
) -> CorruptedBatch:
    """Step 5: source pixels where the config wants them, and labels of what changed. `factor`: pixels a latent cell.

    Raises ValueError where the config asks for a judge that is not given.
    """
    sources, masks = list(rows.source_of_row), rows.masks_NHW.cpu()
    images = _with_source_pixels(resampled.images_NHWC, inverted.images_BHWC[sources], masks, config)
    round_trips = inverted.round_trips_BHWC[sources]
    rises = rises_of(images, round_trips, masks, config, judges.opinion)
    distances = distances_of(images, round_trips, masks, config, judges.distance)
    checked = [
        verify(image.numpy(), twin.numpy(), mask.numpy(), factor, config.verification, rise, apart)
        for image, twin, mask, rise, apart in zip(images, round_trips, masks, rises, distances, strict=True)
    ]
    cells = resampled.cells_NHW
    return CorruptedBatch(
        images_NHWC=images,
        masks_NHW=torch.stack([torch.from_numpy(mask) for mask, _ in checked]),
        requested_masks_NHW=masks,
        cells_NHW=torch.zeros_like(cells) if config.sham else cells,
        round_trips_NHWC=round_trips,
        source_of_row=rows.source_of_row,
        seeds=rows.seeds,
        verifications=tuple(numbers for _, numbers in checked),
        nfe=Nfe(inverted.nfe, resampled.nfe),
        resampling_nfe=(resampled.nfe // len(rows),) * len(rows),
        start_steps=(config.start_step,) * len(rows),
        kinds=tuple(one.kind for one in rows.structures),
        prompts=rows.prompts,
    )


def rises_of(
    images: Tensor, round_trips: Tensor, masks: Tensor, config: CorruptionConfig, opinion: Opinion | None
) -> list[NDArray[np.float32] | None]:
    """For each row float HW, how much more of an artifact the opinion sees in the picture than in its twin.

    None where nothing was asked for, of the config or of the row. Raises ValueError where there is no opinion.
    """
    rises: list[NDArray[np.float32] | None] = [None] * len(images)
    if config.verification.second_opinion is None:
        return rises
    if opinion is None:
        raise ValueError("verification.second_opinion is set, and no detector was given; give one as `opinion`")
    asked = [place for place, mask in enumerate(masks) if (mask == 1).any()]
    pictures = [images[place].numpy() for place in asked] + [round_trips[place].numpy() for place in asked]
    heats = opinion(pictures) if asked else []
    for at, place in enumerate(asked):
        rises[place] = heats[at] - heats[len(asked) + at]
    return rises


def distances_of(
    images: Tensor, round_trips: Tensor, masks: Tensor, config: CorruptionConfig, distance: Distance | None
) -> list[NDArray[np.float32] | None]:
    """For each row float HW, how far picture and twin are apart; None where nothing was asked for.

    Raises ValueError where there is nobody to tell.
    """
    found: list[NDArray[np.float32] | None] = [None] * len(images)
    if config.verification.band is None:
        return found
    if distance is None:
        raise ValueError("verification.band is set, and no network was given; give one as `judges.distance`")
    asked = [place for place, mask in enumerate(masks) if (mask == 1).any()]
    pairs = [(images[place].numpy(), round_trips[place].numpy()) for place in asked]
    told = distance([one for one, _ in pairs], [other for _, other in pairs]) if asked else []
    for place, one in zip(asked, told, strict=True):
        found[place] = one
    return found


def _with_source_pixels(images: Tensor, sources: Tensor, masks: Tensor, config: CorruptionConfig) -> Tensor:
    """The two switches that put real source pixels into the output."""
    inside = (masks == 1).cpu()
    clean = ~inside.flatten(1).any(dim=1)
    if config.paste_back:
        keep_source = ~inside & ~clean[:, None, None]
        images = torch.where(keep_source[..., None], sources, images)
    if config.raw_negatives:
        images = torch.where(clean[:, None, None, None], sources, images)
    return images


def join_rows(parts: Sequence[CorruptedBatch], places: Sequence[Sequence[int]]) -> CorruptedBatch:
    """Batches of rows of the same sources as one; `places`: where each row of each part goes, all of 0 .. N - 1."""
    order = [0] * sum(map(len, places))
    for number, place in enumerate(place for some in places for place in some):
        order[place] = number

    def tensors(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])[order]

    def values(name: str) -> tuple[Any, ...]:
        every = [value for part in parts for value in getattr(part, name)]
        return tuple(every[number] for number in order) if every else ()

    return CorruptedBatch(
        images_NHWC=tensors("images_NHWC"),
        masks_NHW=tensors("masks_NHW"),
        requested_masks_NHW=tensors("requested_masks_NHW"),
        cells_NHW=tensors("cells_NHW"),
        round_trips_NHWC=tensors("round_trips_NHWC"),
        source_of_row=values("source_of_row"),
        seeds=values("seeds"),
        verifications=values("verifications"),
        nfe=Nfe(parts[0].nfe.inversion, sum(part.nfe.resampling for part in parts)),
        resampling_nfe=values("resampling_nfe"),
        start_steps=values("start_steps"),
        climbed=values("climbed"),
        kinds=values("kinds"),
        prompts=values("prompts"),
    )
