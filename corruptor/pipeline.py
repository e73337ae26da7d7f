"""The method from picture to labelled picture: encode, invert, inject, resample, verify (Menn et al. section 3.2).

Legend: B source images, N rows = corruptions of them (N = B, or more where one inversion serves several variants),
C channels, H and W pixels or latent cells. Images uint8 0..255, masks uint8 (0 clean, 1 artifact, 255 ignore).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corruptor.config import METHODS, CorruptionConfig
from corruptor.inject import cells_from_mask, inject, transform_images
from corruptor.noise import draw_noise, sample_generator
from corruptor.renoise import NoisePredictor, invert
from corruptor.resample import resample
from corruptor.schedule import NoiseSchedule
from corruptor.verify import Verification, verify

if TYPE_CHECKING:
    from corruptor.backbone import Backbone, Conditioning


@dataclass(frozen=True)
class Nfe:
    """UNet evaluations: calls, and samples summed over the calls (guidance counts twice)."""

    inversion_calls: int
    inversion_samples: int
    resampling_calls: int
    resampling_samples: int


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
    nfe_calls: int
    nfe_samples: int


@dataclass(frozen=True)
class ResampledRows:
    """N rows as the decoder gives them, before the switches that bring source pixels back; on the CPU."""

    images_NHWC: Tensor
    """uint8."""
    cells_NHW: Tensor
    """bool: the latent cells under the masks."""
    nfe_calls: int
    nfe_samples: int


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


def corrupt(
    backbone: Backbone,
    images_BHWC: Tensor,
    masks_NHW: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: CorruptionConfig,
    source_of_row: Sequence[int] | None = None,
) -> CorruptedBatch:
    """Injects artifacts into images under masks; rows with an empty mask come out as clean reconstructions.

    Args:
        images_BHWC: uint8 (B, H, W, 3), sides multiples of backbone.size_multiple.
        masks_NHW: uint8; 1 = make an artifact here, 0 and 255 = leave alone.
        prompts: B captions, "" for none.
        seeds: N seeds, see `corruptor.noise.sample_seed`. A row's noise depends on its seed alone.
        source_of_row: which image each row corrupts; default one row an image. Several rows of one image share
            its inversion.

    Raises ValueError for shapes, types or values that do not fit each other.
    """
    rows = tuple(range(len(images_BHWC)) if source_of_row is None else source_of_row)
    _check(images_BHWC, masks_NHW, prompts, seeds, rows)
    inverted = invert_images(backbone, images_BHWC, prompts, config)
    return corrupt_inverted(backbone, inverted, masks_NHW, seeds, config, rows)


def invert_images(
    backbone: Backbone, images_BHWC: Tensor, prompts: Sequence[str], config: CorruptionConfig
) -> InvertedBatch:
    """Steps 1 and 2: encode and invert to the start step. Arguments as in `corrupt`."""
    z0 = backbone.encode(images_BHWC)
    round_trips = backbone.decode(z0).cpu()
    conditioning = backbone.embed(prompts)
    before = backbone.nfe.snapshot()
    predict = _predictor(backbone, conditioning, config.inversion.guidance_scale, config.negative_prompt)
    with torch.no_grad():
        trajectory = invert(predict, z0, _schedule(backbone, config), config.start_step, config.inversion)
    calls, samples = _since(backbone, before)
    return InvertedBatch(images_BHWC.cpu(), round_trips, conditioning, tuple(trajectory), calls, samples)


def corrupt_inverted(
    backbone: Backbone,
    inverted: InvertedBatch,
    masks_NHW: Tensor,
    seeds: Sequence[int],
    config: CorruptionConfig,
    source_of_row: Sequence[int] | None = None,
) -> CorruptedBatch:
    """Steps 3 to 5 on inverted sources; `config` must be the one they were inverted with."""
    rows = tuple(range(len(inverted.images_BHWC)) if source_of_row is None else source_of_row)
    _check(inverted.images_BHWC, masks_NHW, None, seeds, rows)
    resampled = resample_rows(backbone, inverted, masks_NHW, seeds, config, rows)
    return finish_rows(resampled, inverted, masks_NHW, seeds, config, rows, backbone.factor)


def resample_rows(
    backbone: Backbone,
    inverted: InvertedBatch,
    masks_NHW: Tensor,
    seeds: Sequence[int],
    config: CorruptionConfig,
    rows: Sequence[int],
) -> ResampledRows:
    """Steps 3 and 4 and the decoder. Does not depend on `paste_back`, `raw_negatives` and `verification`.

    Works through the rows in pieces of at most B, so that variants need no more memory than the inversion did.
    """
    num_sources = len(inverted.images_BHWC)
    cells = cells_from_mask(masks_NHW, backbone.factor)
    before = backbone.nfe.snapshot()
    pieces = []
    for first in range(0, len(rows), num_sources):
        part = slice(first, first + num_sources)
        latents = _resampled_latents(backbone, inverted, masks_NHW[part], cells[part], seeds[part], rows[part], config)
        pieces.append(backbone.decode(latents).cpu())
    return ResampledRows(torch.cat(pieces), cells.cpu(), *_since(backbone, before))


def finish_rows(
    resampled: ResampledRows,
    inverted: InvertedBatch,
    masks_NHW: Tensor,
    seeds: Sequence[int],
    config: CorruptionConfig,
    rows: Sequence[int],
    factor: int,
) -> CorruptedBatch:
    """Step 5: source pixels where the config wants them, and labels of what changed. `factor`: pixels a latent cell."""
    images = _with_source_pixels(resampled.images_NHWC, inverted.images_BHWC[list(rows)], masks_NHW, config)
    round_trips = inverted.round_trips_BHWC[list(rows)]
    checked = [
        verify(image.numpy(), twin.numpy(), mask.numpy(), factor, config.verification)
        for image, twin, mask in zip(images, round_trips, masks_NHW.cpu(), strict=True)
    ]
    cells = resampled.cells_NHW
    return CorruptedBatch(
        images_NHWC=images,
        masks_NHW=torch.stack([torch.from_numpy(mask) for mask, _ in checked]),
        requested_masks_NHW=masks_NHW.cpu(),
        cells_NHW=torch.zeros_like(cells) if config.sham else cells,
        round_trips_NHWC=round_trips,
        source_of_row=tuple(rows),
        seeds=tuple(int(seed) for seed in seeds),
        verifications=tuple(numbers for _, numbers in checked),
        nfe=Nfe(inverted.nfe_calls, inverted.nfe_samples, resampled.nfe_calls, resampled.nfe_samples),
    )


@torch.no_grad()
def _resampled_latents(
    backbone: Backbone,
    inverted: InvertedBatch,
    masks: Tensor,
    cells: Tensor,
    seeds: Sequence[int],
    rows: Sequence[int],
    config: CorruptionConfig,
) -> Tensor:
    """Steps 3 and 4 for a piece of rows: clean latents that hold the artifact.

    Of a sham no cell is filled, and the same cells as otherwise are left free where the rest is blended.
    """
    index = torch.tensor(rows, device=backbone.device)
    schedule, method = _schedule(backbone, config), config.injection
    z0, z_t = inverted.trajectory[0][index], inverted.trajectory[-1][index]
    generators = [sample_generator(seed) for seed in seeds]
    noise = draw_noise(generators, z0.shape[1:], backbone.device)
    changed_z0 = None
    if method.place == "image":
        changed = transform_images(inverted.images_BHWC[list(rows)], masks, method, backbone.factor)
        changed_z0 = backbone.encode(changed)
    free = cells.to(backbone.device)
    filled = torch.zeros_like(free) if config.sham else free
    if not METHODS[method.method].resampled:
        return inject(z_t, z0, noise, filled, 1.0, method)
    abar = schedule.abar_at(schedule.timestep_of(config.start_step))
    injected = inject(z_t, z0, noise, filled, abar, method, changed_z0)
    conditioning = inverted.conditioning.rows(rows)
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


def _schedule(backbone: Backbone, config: CorruptionConfig) -> NoiseSchedule:
    return backbone.schedule.with_steps(config.num_grid_steps)


def _predictor(
    backbone: Backbone, conditioning: Conditioning, guidance_scale: float, negative_prompt: str
) -> NoisePredictor:
    def predict(latents_BCHW: Tensor, timestep: int) -> Tensor:
        return backbone.predict_noise(latents_BCHW, timestep, conditioning, guidance_scale, negative_prompt)

    return predict


def _since(backbone: Backbone, before: tuple[int, int]) -> tuple[int, int]:
    calls, samples = backbone.nfe.snapshot()
    return calls - before[0], samples - before[1]


def _check(
    images: Tensor, masks: Tensor, prompts: Sequence[str] | None, seeds: Sequence[int], rows: Sequence[int]
) -> None:
    """That images, masks, prompts, seeds and rows fit each other."""
    if not len(images) or not rows:
        raise ValueError(f"{len(images)} images and {len(rows)} rows; needed: at least one of each")
    if masks.dtype != torch.uint8 or tuple(masks.shape) != (len(rows), *images.shape[1:3]):
        raise ValueError(
            f"masks are {masks.dtype} of shape {tuple(masks.shape)}; needed: uint8 {(len(rows), *images.shape[1:3])}"
        )
    if prompts is not None and len(prompts) != len(images):
        raise ValueError(f'{len(prompts)} prompts for {len(images)} images; needed: one each, "" for none')
    if len(seeds) != len(rows):
        raise ValueError(f"{len(seeds)} seeds for {len(rows)} rows; needed: one each")
    if min(rows, default=0) < 0 or max(rows, default=0) >= len(images):
        raise ValueError(f"source_of_row names images {min(rows)}..{max(rows)}; allowed are 0..{len(images) - 1}")
    if bool(((masks > 1) & (masks != 255)).any()):
        raise ValueError("masks hold values other than 0 (clean), 1 (artifact) and 255 (ignore)")
