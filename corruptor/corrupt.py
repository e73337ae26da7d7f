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
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corruptor.config import CorruptionConfig
from corruptor.finish import CorruptedBatch, Opinion, finish_rows
from corruptor.ladder import climb
from corruptor.renoise import invert
from corruptor.rows import InvertedBatch, Rows, make_rows, predictor, resample_rows, schedule_of

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
    opinion: Opinion | None = None,
) -> CorruptedBatch:
    """Steps 3 to 5 on inverted sources; `config` must be the one they were inverted with."""
    if config.ladder is not None:
        return climb(backbone, inverted, rows, config, config.ladder, opinion)
    resampled = resample_rows(backbone, inverted, rows, config)
    return finish_rows(resampled, inverted, rows, config, backbone.factor, opinion)
