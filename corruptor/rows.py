"""Rows of sources that were inverted, and their way through injection, resampling and decoder.

Legend: B source images, N rows = corruptions of them (N = B, or more where one inversion serves several variants),
C channels, H and W pixels or latent cells. Images uint8 0..255, masks uint8 (0 clean, 1 artifact, 255 ignore).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corruptor.config import METHODS, CorruptionConfig
from corruptor.inject import cells_from_mask, inject, transform_images
from corruptor.kinds import Structure, plan
from corruptor.kinds import content as content_of
from corruptor.kinds_config import KindsConfig
from corruptor.noise import draw_noise, sample_generator, try_seed
from corruptor.renoise import NoisePredictor
from corruptor.resample import Later, resample
from corruptor.schedule import Schedule

if TYPE_CHECKING:
    from corruptor.backbone import Backbone, Conditioning


@dataclass(frozen=True)
class Rows:
    """N rows to be made of B inverted sources."""

    masks_NHW: Tensor
    """uint8; 1 = make an artifact here, 0 and 255 = leave alone."""
    seeds: tuple[int, ...]
    """A row's noise depends on its seed alone."""
    source_of_row: tuple[int, ...]
    """Index of each row's source."""

    structures: tuple[Structure, ...] = ()
    """What each row's region becomes; empty: its own content under fresh noise."""
    prompts: tuple[str | None, ...] = ()
    """What a row is resampled with in place of its source's prompt; None or empty: that."""
    without: tuple[str, ...] = ()
    """The prompts without the words that name what is under each mask; empty: none is known."""

    def __len__(self) -> int:
        return len(self.source_of_row)

    def chosen(self, places: Sequence[int]) -> Rows:
        """The rows at these places."""
        return Rows(
            self.masks_NHW[list(places)],
            tuple(self.seeds[place] for place in places),
            tuple(self.source_of_row[place] for place in places),
            tuple(self.structures[place] for place in places) if self.structures else (),
            tuple(self.prompts[place] for place in places) if self.prompts else (),
            tuple(self.without[place] for place in places) if self.without else (),
        )


@dataclass(frozen=True)
class InvertedBatch:
    """Sources with everything that does not depend on masks or noise. Latents are fp32 on the model's device."""

    images_BHWC: Tensor
    """The sources, uint8, on the CPU."""
    round_trips_BHWC: Tensor
    """The sources through the VAE alone, uint8, on the CPU: the clean twins."""
    conditioning: Conditioning
    trajectory: tuple[Tensor, ...]
    """Latents_BCHW from z0 (first) to z_t at the lowest start step of the config (last)."""
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
class Tries:
    """Which of a row's draws of noise each cell holds, and at which start step each draw goes in."""

    of_cell_NHW: Tensor
    """int64, on the CPU: number of a try, 0 = the first; -1 where nothing is injected."""
    steps: tuple[int, ...]
    """Start step of each try up to now; never rising. Resampling begins at the last."""


def make_rows(
    images_BHWC: Tensor, masks_NHW: Tensor, seeds: Sequence[int], source_of_row: Sequence[int] | None = None
) -> Rows:
    """Rows that fit the images; default one row an image. Raises ValueError where they do not."""
    chosen = tuple(range(len(images_BHWC)) if source_of_row is None else source_of_row)
    _check(images_BHWC, masks_NHW, seeds, chosen)
    return Rows(masks_NHW, tuple(int(seed) for seed in seeds), chosen)


def with_kinds(rows: Rows, kinds: KindsConfig, factor: int) -> Rows:
    """Each row with its kind drawn by its seed, its mask where the damage will be, and the prompt for it."""
    without = rows.without or ("",) * len(rows)
    masks = rows.masks_NHW.cpu().numpy()
    structures = tuple(plan(mask, seed, kinds, factor) for mask, seed in zip(masks, rows.seeds, strict=True))
    prompts = tuple(without[place] if one.kind == "omit" else None for place, one in enumerate(structures))
    moved = torch.stack([torch.from_numpy(one.mask) for one in structures])
    return replace(rows, masks_NHW=moved, structures=structures, prompts=prompts)


def resample_rows(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    tries: Tries | None = None,
) -> ResampledRows:
    """Steps 3 and 4 and the decoder. Does not depend on `paste_back`, `raw_negatives` and `verification`.

    Works through the rows in pieces of at most B, so that variants need no more memory than the inversion did.
    tries: of a ladder; by default all cells are injected at the config's start step with the first draw of noise.
    """
    num_sources = len(inverted.images_BHWC)
    cells = cells_from_mask(rows.masks_NHW, backbone.factor)
    tries = tries or Tries(cells.long() - 1, (config.start_step,))
    before = backbone.nfe.samples
    pieces = []
    for first in range(0, len(rows), num_sources):
        part = list(range(first, min(first + num_sources, len(rows))))
        some = Tries(tries.of_cell_NHW[part], tries.steps)
        latents = _resampled_latents(backbone, inverted, rows.chosen(part), some, config)
        pieces.append(backbone.decode(latents).cpu())
    return ResampledRows(torch.cat(pieces), cells.cpu(), backbone.nfe.samples - before)


@torch.no_grad()
def _resampled_latents(
    backbone: Backbone, inverted: InvertedBatch, rows: Rows, tries: Tries, config: CorruptionConfig
) -> Tensor:
    """Steps 3 and 4 for a piece of rows: clean latents that hold the artifact.

    Of a sham no cell is filled, and the same cells as otherwise are left free where the rest is blended.
    """
    index = torch.tensor(rows.source_of_row, device=backbone.device)
    method = config.injection
    z0 = inverted.trajectory[0][index]
    schedule = schedule_of(backbone, config, z0)
    of_cell = tries.of_cell_NHW.to(backbone.device)
    generators, noise = _noise(rows.seeds, of_cell, z0, len(tries.steps))
    changed_z0 = None
    if method.resolved_act_on == "image":
        sources = inverted.images_BHWC[list(rows.source_of_row)]
        changed_z0 = backbone.encode(transform_images(sources, rows.masks_NHW, method, backbone.factor))

    if rows.structures:
        z0 = content_of(z0, rows.structures, of_cell >= 0)

    def content(step: int) -> tuple[Tensor, Tensor]:
        """Cells that are injected at a step, and the latents with them in place."""
        free = _cells_at(of_cell, tries.steps, step)
        filled = torch.zeros_like(free) if config.sham else free
        z_t = inverted.trajectory[config.num_grid_steps - step][index]
        factors = schedule.factors(schedule.timestep_of(step)) if METHODS[method.method].resampled else (1.0, 0.0)
        return free, inject(z_t, z0, noise, filled, factors, method, changed_z0)

    start = tries.steps[-1]
    free, injected = content(start)
    if not METHODS[method.method].resampled:
        return injected
    conditioning = _conditioning(backbone, inverted, rows)
    predict = predictor(backbone, conditioning, config.resampling.guidance_scale, config.negative_prompt)
    weaker = sorted(set(tries.steps) - {start})
    later = {step - start: Later(*content(step)) for step in weaker}
    up_to = config.num_grid_steps - start + 1
    path = [latents[index] for latents in inverted.trajectory[:up_to]] if config.resampling.blend else []
    return resample(predict, injected, schedule, start, config.resampling, generators, path, free, later)


def _conditioning(backbone: Backbone, inverted: InvertedBatch, rows: Rows) -> Conditioning:
    """Of the rows' sources, and of their own prompts where they have one."""
    own = {place: prompt for place, prompt in enumerate(rows.prompts) if prompt is not None}
    if not own:
        return inverted.conditioning.rows(rows.source_of_row)
    both = inverted.conditioning.join([inverted.conditioning, backbone.embed(list(own.values()))])
    index = list(rows.source_of_row)
    for number, place in enumerate(own):
        index[place] = len(inverted.images_BHWC) + number
    return both.rows(index)


def _noise(seeds: Sequence[int], of_cell: Tensor, z0: Tensor, num_tries: int) -> tuple[list[torch.Generator], Tensor]:
    """Each cell's noise from the draw of its try, and the generators of the last one, for the steps of eta > 0."""
    noise = None
    generators: list[torch.Generator] = []
    for number in range(num_tries):
        last = number == num_tries - 1
        if not last and not bool((of_cell == number).any()):
            continue
        generators = [sample_generator(try_seed(seed, number)) for seed in seeds]
        drawn = draw_noise(generators, z0.shape[1:], z0.device)
        noise = drawn if noise is None else torch.where((of_cell == number)[:, None], drawn, noise)
    assert noise is not None
    return generators, noise


def _cells_at(of_cell: Tensor, steps: Sequence[int], step: int) -> Tensor:
    """bool NHW: cells whose try begins at this step."""
    found = torch.zeros_like(of_cell, dtype=torch.bool)
    for number, one in enumerate(steps):
        if one == step:
            found |= of_cell == number
    return found


def schedule_of(backbone: Backbone, config: CorruptionConfig, latents_BCHW: Tensor) -> Schedule:
    """The model's schedule on the config's grid, for latents of this size."""
    return backbone.schedule.with_steps(config.num_grid_steps).for_size(latents_BCHW.shape[2], latents_BCHW.shape[3])


def predictor(
    backbone: Backbone, conditioning: Conditioning, guidance_scale: float, negative_prompt: str
) -> NoisePredictor:
    """The model's prediction as inversion and resampling take it."""

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
