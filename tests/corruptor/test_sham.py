"""Shams: the whole making with nothing injected, and the masks kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from corruptor.backbone import Backbone
from corruptor.config import (
    METHODS,
    CorruptionConfig,
    InjectionConfig,
    InversionConfig,
    ResamplingConfig,
    VerificationConfig,
)
from corruptor.corrupt import corrupt

PROMPTS, SEEDS = ["a red face", "", "car"], [11, 12, 13]
SHAM = CorruptionConfig(
    injection=InjectionConfig(start_step=47),
    inversion=InversionConfig(warm_passes=(1,)),
    verification=VerificationConfig(policy="keep"),
    sham=True,
)


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.resampled])
def test_a_sham_is_the_clean_picture_under_its_mask(backbone: Backbone, images: Tensor, masks: Tensor, method: str):
    config = dataclasses.replace(SHAM, injection=InjectionConfig(method=method, start_step=47))
    sham = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
    clean = corrupt(backbone, images, torch.zeros_like(masks), PROMPTS, SEEDS, dataclasses.replace(config, sham=False))
    injected = corrupt(backbone, images, masks, PROMPTS, SEEDS, dataclasses.replace(config, sham=False))
    assert torch.equal(sham.images_NHWC, clean.images_NHWC)
    assert not torch.equal(sham.images_NHWC, injected.images_NHWC)
    assert torch.equal(sham.masks_NHW, masks)
    assert not sham.cells_NHW.any()
    assert sham.nfe == injected.nfe


def test_a_blended_sham_is_resampled_inside_its_mask_alone(backbone: Backbone, images: Tensor, masks: Tensor):
    """Else a seam between resampled and stored latents could not show in it."""
    blended = dataclasses.replace(SHAM, resampling=ResamplingConfig(blend=True))
    sham = corrupt(backbone, images, masks, PROMPTS, SEEDS, blended)
    round_trips = backbone.decode(backbone.encode(images)).cpu()
    assert not torch.equal(sham.images_NHWC[0], round_trips[0])
    assert torch.equal(sham.images_NHWC[1], round_trips[1])  # the clean row
    assert not sham.cells_NHW.any()


def test_with_paste_back_the_mask_holds_the_reconstruction_and_the_rest_the_source(
    backbone: Backbone, images: Tensor, masks: Tensor
):
    both = dataclasses.replace(SHAM, paste_back=True, raw_negatives=True)
    sham = corrupt(backbone, images, masks, PROMPTS, SEEDS, both).images_NHWC
    whole = corrupt(backbone, images, masks, PROMPTS, SEEDS, SHAM).images_NHWC
    inside = masks == 1
    assert torch.equal(sham[inside], whole[inside])
    assert torch.equal(sham[~inside], images[~inside])
    assert torch.equal(sham[1], images[1])  # the clean row, raw
    assert not torch.equal(whole[inside], images[inside])


def test_a_sham_with_a_policy_that_drops_unchanged_regions_is_refused():
    with pytest.raises(ValueError, match=r"sham needs verification\.policy 'keep', not 'drop'"):
        CorruptionConfig(sham=True)
