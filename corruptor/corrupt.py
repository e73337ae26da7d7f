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

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corruptor.config import CorruptionConfig
from corruptor.finish import NOBODY, CorruptedBatch, Judges, finish_rows, join_rows
from corruptor.ladder import at_step, climb
from corruptor.renoise import invert
from corruptor.rows import InvertedBatch, Rows, make_rows, predictor, resample_rows, schedule_of, with_kinds

if TYPE_CHECKING:
    from corruptor.backbone import Backbone


def corrupt(
    backbone: Backbone,
    images_BHWC: Tensor,
    masks_NHW: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: CorruptionConfig,
    source_of_row: Sequence[int] | None = None,
    judges: Judges = NOBODY,
    prompts_without: Sequence[str] | None = None,
) -> CorruptedBatch:
    """Injects artifacts into images under masks; rows with an empty mask come out as clean reconstructions.

    Args:
        images_BHWC: uint8 (B, H, W, 3), sides multiples of backbone.size_multiple.
        masks_NHW: uint8; 1 = make an artifact here, 0 and 255 = leave alone.
        prompts: B captions, "" for none.
        seeds: N seeds, see `corruptor.noise.sample_seed`. A row's noise depends on its seed alone.
        source_of_row: which image each row corrupts; default one row an image. Several rows of one image share
            its inversion.
        prompts_without: N prompts without the words that name what is under each mask, for rows whose part is omitted
            (`config.injection.kinds`); default the empty prompt.
        judges: what `config.verification` asks for beside the change of pixels.

    Raises ValueError for shapes, types or values that do not fit each other.
    """
    rows = make_rows(images_BHWC, masks_NHW, seeds, source_of_row)
    if len(prompts) != len(images_BHWC):
        raise ValueError(f'{len(prompts)} prompts for {len(images_BHWC)} images; needed: one each, "" for none')
    if prompts_without is not None and len(prompts_without) != len(rows):
        raise ValueError(f"{len(prompts_without)} prompts_without for {len(rows)} rows; needed: one each")
    inverted = invert_images(backbone, images_BHWC, prompts, config)
    return corrupt_inverted(backbone, inverted, rows, config, judges, prompts_without)


def invert_images(
    backbone: Backbone, images_BHWC: Tensor, prompts: Sequence[str], config: CorruptionConfig
) -> InvertedBatch:
    """Steps 1 and 2: encode and invert to the start step, with a ladder to its floor. Arguments as in `corrupt`."""
    z0 = backbone.encode(images_BHWC)
    round_trips = backbone.decode(z0).cpu()
    conditioning = backbone.embed(prompts)
    before = backbone.nfe.samples
    predict = predictor(backbone, conditioning, config.inversion.guidance_scale, config.negative_prompt)
    with torch.no_grad():
        trajectory = invert(predict, z0, schedule_of(backbone, config, z0), config.lowest_step, config.inversion)
    spent = backbone.nfe.samples - before
    return InvertedBatch(images_BHWC.cpu(), round_trips, conditioning, tuple(trajectory), spent)


def corrupt_inverted(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    judges: Judges = NOBODY,
    prompts_without: Sequence[str] | None = None,
) -> CorruptedBatch:
    """Steps 3 to 5 on inverted sources; `config` must be the one they were inverted with. Arguments as in `corrupt`."""
    if prompts_without is not None:
        rows = replace(rows, without=tuple(prompts_without))
    if config.injection.kinds is None:
        return _from_one_step(backbone, inverted, rows, config, judges)
    rows = with_kinds(rows, config.injection.kinds, backbone.factor)
    places: dict[int, list[int]] = {}
    for place, one in enumerate(rows.structures):
        places.setdefault(config.start_step_of(one.kind), []).append(place)
    parts = [
        _from_one_step(
            backbone, inverted, rows.chosen(some), replace(at_step(config, step), ladder=config.ladder), judges
        )
        for step, some in places.items()
    ]
    return join_rows(parts, list(places.values()))


def _from_one_step(
    backbone: Backbone, inverted: InvertedBatch, rows: Rows, config: CorruptionConfig, judges: Judges
) -> CorruptedBatch:
    """Rows that are all injected first at the config's start step."""
    if config.ladder is not None:
        return climb(backbone, inverted, rows, config, config.ladder, judges)
    resampled = resample_rows(backbone, inverted, rows, config)
    return finish_rows(resampled, inverted, rows, config, backbone.factor, judges)
