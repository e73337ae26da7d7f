"""The method from picture to labelled picture: encode, invert, inject, resample, verify (Menn et al. section 3.2).

    z_0 = E(x)                                                     encode
    z_t = invert(z_0, prompt)                  t = start step      ReNoise, or warm passes (corruptor.renoise)
    z_t[m] = signal_t z_0[m] + noise_t eps                         inject: noise under the mask m (corruptor.inject)
    z_0' = resample(z_t, prompt)               t .. 0              DDIM, or Euler for flow (corruptor.resample)
    x' = D(z_0')                                                   decode
    label = m where |x' - D(z_0)| is large                         verify (corruptor.verify)

Legend: B source images, N rows = corruptions of them (N = B, or more where one inversion serves several variants),
C channels, H and W pixels or latent cells. Images uint8 0..255, masks uint8 (0 clean, 1 artifact, 255 ignore).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corruptor.config import METHODS, CorruptionConfig
from corruptor.inject import cells_from_mask, inject, transform_images
from corruptor.noise import draw_noise, sample_generator
from corruptor.renoise import NoisePredictor, invert
from corruptor.resample import resample
from corruptor.schedule import Schedule
from corruptor.verify import Verification, verify

if TYPE_CHECKING:
    from corruptor.backbone import Backbone, Conditioning


@dataclass(frozen=True)
class Nfe:
    """Noise predictions: samples summed over the denoiser's calls (guidance counts twice)."""

    inversion: int
    resampling: int


@dataclass(frozen=True)
class Rows:
    """N rows to be made of B inverted sources."""

    masks_NHW: Tensor
    """uint8; 1 = make an artifact here, 0 and 255 = leave alone."""
    seeds: tuple[int, ...]
    """A row's noise depends on its seed alone."""
    source_of_row: tuple[int, ...]
    """Index of each row's source."""

    def __len__(self) -> int:
        return len(self.source_of_row)

    def chosen(self, places: Sequence[int]) -> Rows:
        """The rows at these places."""
        seeds, sources = (tuple(all_of[place] for place in places) for all_of in (self.seeds, self.source_of_row))
        return Rows(self.masks_NHW[list(places)], seeds, sources)


@dataclass(frozen=True)
class InvertedBatch:
    """Sources with everything that does not depend on masks or noise. Latents are fp32 on the model's device."""

    images_BHWC: Tensor
    """The sources, uint8, on the CPU."""
    round_trips_BHWC: Tensor
    """The sources through the VAE alone, uint8, on the CPU: the clean twins."""
    conditioning: Conditioning
    trajectory: tuple[Tensor, ...]
    """Latents_BCHW from z0 (first) to z_t at the start step (last)."""
    nfe: int
    """Noise predictions that it took."""


@dataclass(frozen=True)
class ResampledRows:
    """N rows as the decoder gives them, before the switches that bring source pixels back; on the CPU."""

    images_NHWC: Tensor
    """uint8."""
    cells_NHW: Tensor
    """bool: the latent cells under the masks."""
    nfe: int
    """Noise predictions that it took."""


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


Opinion = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]
"""uint8 HWC pictures -> float HW of each, 0..1, higher is an artifact (`verification.second_opinion`)."""


def corrupt(
    backbone: Backbone,
    images_BHWC: Tensor,
    masks_NHW: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: CorruptionConfig,
    source_of_row: Sequence[int] | None = None,
    opinion: Opinion | None = None,
) -> CorruptedBatch:
    """Injects artifacts into images under masks; rows with an empty mask come out as clean reconstructions.

    Args:
        images_BHWC: uint8 (B, H, W, 3), sides multiples of backbone.size_multiple.
        masks_NHW: uint8; 1 = make an artifact here, 0 and 255 = leave alone.
        prompts: B captions, "" for none.
        seeds: N seeds, see `corruptor.noise.sample_seed`. A row's noise depends on its seed alone.
        source_of_row: which image each row corrupts; default one row an image. Several rows of one image share
            its inversion.
        opinion: what `config.verification.second_opinion` names; needed where that is set.

    Raises ValueError for shapes, types or values that do not fit each other.
    """
    rows = make_rows(images_BHWC, masks_NHW, seeds, source_of_row)
    if len(prompts) != len(images_BHWC):
        raise ValueError(f'{len(prompts)} prompts for {len(images_BHWC)} images; needed: one each, "" for none')
    return corrupt_inverted(backbone, invert_images(backbone, images_BHWC, prompts, config), rows, config, opinion)


def make_rows(
    images_BHWC: Tensor, masks_NHW: Tensor, seeds: Sequence[int], source_of_row: Sequence[int] | None = None
) -> Rows:
    """Rows that fit the images; default one row an image. Raises ValueError where they do not."""
    chosen = tuple(range(len(images_BHWC)) if source_of_row is None else source_of_row)
    _check(images_BHWC, masks_NHW, seeds, chosen)
    return Rows(masks_NHW, tuple(int(seed) for seed in seeds), chosen)


def invert_images(
    backbone: Backbone, images_BHWC: Tensor, prompts: Sequence[str], config: CorruptionConfig
) -> InvertedBatch:
    """Steps 1 and 2: encode and invert to the start step. Arguments as in `corrupt`."""
    z0 = backbone.encode(images_BHWC)
    round_trips = backbone.decode(z0).cpu()
    conditioning = backbone.embed(prompts)
    before = backbone.nfe.samples
    predict = _predictor(backbone, conditioning, config.inversion.guidance_scale, config.negative_prompt)
    with torch.no_grad():
        trajectory = invert(predict, z0, _schedule(backbone, config, z0), config.start_step, config.inversion)
    spent = backbone.nfe.samples - before
    return InvertedBatch(images_BHWC.cpu(), round_trips, conditioning, tuple(trajectory), spent)


def corrupt_inverted(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    opinion: Opinion | None = None,
) -> CorruptedBatch:
    """Steps 3 to 5 on inverted sources; `config` must be the one they were inverted with."""
    resampled = resample_rows(backbone, inverted, rows, config)
    return finish_rows(resampled, inverted, rows, config, backbone.factor, opinion)


def resample_rows(backbone: Backbone, inverted: InvertedBatch, rows: Rows, config: CorruptionConfig) -> ResampledRows:
    """Steps 3 and 4 and the decoder. Does not depend on `paste_back`, `raw_negatives` and `verification`.

    Works through the rows in pieces of at most B, so that variants need no more memory than the inversion did.
    """
    num_sources = len(inverted.images_BHWC)
    cells = cells_from_mask(rows.masks_NHW, backbone.factor)
    before = backbone.nfe.samples
    pieces = []
    for first in range(0, len(rows), num_sources):
        part = range(first, min(first + num_sources, len(rows)))
        latents = _resampled_latents(backbone, inverted, rows.chosen(part), cells[list(part)], config)
        pieces.append(backbone.decode(latents).cpu())
    return ResampledRows(torch.cat(pieces), cells.cpu(), backbone.nfe.samples - before)


def finish_rows(
    resampled: ResampledRows,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    factor: int,
    opinion: Opinion | None = None,
) -> CorruptedBatch:
    """Step 5: source pixels where the config wants them, and labels of what changed. `factor`: pixels a latent cell.

    Raises ValueError where the config asks for a second opinion and there is none.
    """
    sources, masks = list(rows.source_of_row), rows.masks_NHW.cpu()
    images = _with_source_pixels(resampled.images_NHWC, inverted.images_BHWC[sources], masks, config)
    round_trips = inverted.round_trips_BHWC[sources]
    rises = rises_of(images, round_trips, masks, config, opinion)
    checked = [
        verify(image.numpy(), twin.numpy(), mask.numpy(), factor, config.verification, rise)
        for image, twin, mask, rise in zip(images, round_trips, masks, rises, strict=True)
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


@torch.no_grad()
def _resampled_latents(
    backbone: Backbone, inverted: InvertedBatch, rows: Rows, cells: Tensor, config: CorruptionConfig
) -> Tensor:
    """Steps 3 and 4 for a piece of rows: clean latents that hold the artifact.

    Of a sham no cell is filled, and the same cells as otherwise are left free where the rest is blended.
    """
    index = torch.tensor(rows.source_of_row, device=backbone.device)
    method = config.injection
    z0, z_t = inverted.trajectory[0][index], inverted.trajectory[-1][index]
    schedule = _schedule(backbone, config, z0)
    generators = [sample_generator(seed) for seed in rows.seeds]
    noise = draw_noise(generators, z0.shape[1:], backbone.device)
    changed_z0 = None
    if method.resolved_act_on == "image":
        changed = transform_images(
            inverted.images_BHWC[list(rows.source_of_row)], rows.masks_NHW, method, backbone.factor
        )
        changed_z0 = backbone.encode(changed)
    free = cells.to(backbone.device)
    filled = torch.zeros_like(free) if config.sham else free
    if not METHODS[method.method].resampled:
        return inject(z_t, z0, noise, filled, (1.0, 0.0), method)
    factors = schedule.factors(schedule.timestep_of(config.start_step))
    injected = inject(z_t, z0, noise, filled, factors, method, changed_z0)
    conditioning = inverted.conditioning.rows(rows.source_of_row)
    predict = _predictor(backbone, conditioning, config.resampling.guidance_scale, config.negative_prompt)
    stored = [latents[index] for latents in inverted.trajectory] if config.resampling.blend else []
    return resample(predict, injected, schedule, config.start_step, config.resampling, generators, stored, free)


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


def _schedule(backbone: Backbone, config: CorruptionConfig, latents_BCHW: Tensor) -> Schedule:
    return backbone.schedule.with_steps(config.num_grid_steps).for_size(latents_BCHW.shape[2], latents_BCHW.shape[3])


def _predictor(
    backbone: Backbone, conditioning: Conditioning, guidance_scale: float, negative_prompt: str
) -> NoisePredictor:
    def predict(latents_BCHW: Tensor, timestep: float) -> Tensor:
        return backbone.predict_noise(latents_BCHW, timestep, conditioning, guidance_scale, negative_prompt)

    return predict


def _check(images: Tensor, masks: Tensor, seeds: Sequence[int], rows: Sequence[int]) -> None:
    """That images, masks, seeds and rows fit each other."""
    if not len(images) or not rows:
        raise ValueError(f"{len(images)} images and {len(rows)} rows; needed: at least one of each")
    if masks.dtype != torch.uint8 or tuple(masks.shape) != (len(rows), *images.shape[1:3]):
        raise ValueError(
            f"masks are {masks.dtype} of shape {tuple(masks.shape)}; needed: uint8 {(len(rows), *images.shape[1:3])}"
        )
    if len(seeds) != len(rows):
        raise ValueError(f"{len(seeds)} seeds for {len(rows)} rows; needed: one each")
    if min(rows, default=0) < 0 or max(rows, default=0) >= len(images):
        raise ValueError(f"source_of_row names images {min(rows)}..{max(rows)}; allowed are 0..{len(images) - 1}")
    if bool(((masks > 1) & (masks != 255)).any()):
        raise ValueError("masks hold values other than 0 (clean), 1 (artifact) and 255 (ignore)")
