"""The whole method on a tiny real model: what must hold whatever the weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from corruptor.backbone import Backbone, load_backbone
from corruptor.config import (
    METHODS,
    CorruptionConfig,
    InjectionConfig,
    InversionConfig,
    ResamplingConfig,
    VerificationConfig,
)
from corruptor.corrupt import corrupt, corrupt_inverted, invert_images
from corruptor.noise import sample_generator
from corruptor.renoise import invert
from corruptor.resample import resample
from corruptor.rows import make_rows

PROMPTS = ["a red face", "", "car"]
SEEDS = [11, 12, 13]
# Three steps, where the number of steps is not what is tested.
SHORT = CorruptionConfig(injection=InjectionConfig(start_step=47), inversion=InversionConfig(warm_passes=(1,)))


class CallsOf(TorchDispatchMode):
    """Counts every operation that reaches the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def unet_samples(backbone: Backbone) -> Any:
    """Batch sizes of the UNet's own forward calls, seen from outside the counter."""
    seen: list[int] = []
    hook = backbone._denoiser.network.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    yield seen
    hook.remove()


def test_shapes_labels_and_exact_nfe(
    backbone: Backbone, images: Tensor, masks: Tensor, unet_samples: list[int]
) -> None:
    batch = corrupt(backbone, images, masks, PROMPTS, SEEDS, CorruptionConfig())
    assert (batch.images_NHWC.shape, batch.images_NHWC.dtype) == ((3, 32, 32, 3), torch.uint8)
    assert (batch.masks_NHW.shape, batch.masks_NHW.dtype) == ((3, 32, 32), torch.uint8)
    assert (batch.cells_NHW.shape, batch.cells_NHW.dtype) == ((3, 8, 8), torch.bool)
    assert torch.equal(batch.round_trips_NHWC, backbone.decode(backbone.encode(images)))
    assert [v.num_components for v in batch.verifications] == [2, 0, 1]
    assert not batch.masks_NHW[1].any()
    assert (batch.masks_NHW[2, :4] == 255).all()
    assert (batch.nfe.inversion, batch.nfe.resampling) == (17 * 3, 10 * 3)
    assert len(unet_samples) == 27
    assert sum(unet_samples) == 81


def test_guidance_counts_twice(backbone: Backbone, images: Tensor, masks: Tensor, unet_samples: list[int]) -> None:
    config = CorruptionConfig(
        injection=InjectionConfig(start_step=47),
        inversion=InversionConfig(mode="ddim"),
        resampling=ResamplingConfig(guidance_scale=5.0),
    )
    batch = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
    assert unet_samples == [3, 3, 3, 6, 6, 6]
    assert batch.nfe.resampling == 18


def test_batch_is_singles(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    batch = corrupt(backbone, images, masks, PROMPTS, SEEDS, SHORT)
    for row in range(3):
        one = slice(row, row + 1)
        alone = corrupt(backbone, images[one], masks[one], PROMPTS[one], SEEDS[one], SHORT)
        assert torch.equal(alone.masks_NHW[0], batch.masks_NHW[row])
        assert torch.equal(alone.cells_NHW[0], batch.cells_NHW[row])
        difference = alone.images_NHWC[0].int() - batch.images_NHWC[row].int()
        assert difference.abs().max() <= 1
    again = corrupt(backbone, images, masks, PROMPTS, SEEDS, SHORT)
    assert torch.equal(again.images_NHWC, batch.images_NHWC)


def test_variants_share_the_inversion(
    backbone: Backbone, images: Tensor, masks: Tensor, unet_samples: list[int]
) -> None:
    rows = (0, 2, 0, 0, 2)
    variant_masks = torch.stack([masks[0], masks[2], masks[2], masks[0], torch.zeros_like(masks[0])])
    inverted = invert_images(backbone, images, PROMPTS, SHORT)
    assert unet_samples == [3, 3, 3]
    unet_samples.clear()
    batch = corrupt_inverted(backbone, inverted, make_rows(images, variant_masks, [1, 2, 3, 4, 5], rows), SHORT)
    assert unet_samples == [3, 3, 3, 2, 2, 2], "five rows in pieces of three, and no inversion"
    assert batch.source_of_row == rows
    assert not torch.equal(batch.images_NHWC[0], batch.images_NHWC[3]), "other noise"
    assert not torch.equal(batch.images_NHWC[0], batch.images_NHWC[2]), "other mask"
    assert torch.equal(batch.round_trips_NHWC[0], batch.round_trips_NHWC[3])
    at_once = corrupt(backbone, images, variant_masks, PROMPTS, [1, 2, 3, 4, 5], SHORT, source_of_row=rows)
    assert torch.equal(at_once.images_NHWC, batch.images_NHWC)
    alone = corrupt(backbone, images[2:], variant_masks[1:2], PROMPTS[2:], [2], SHORT)
    assert (alone.images_NHWC[0].int() - batch.images_NHWC[1].int()).abs().max() <= 1


def test_no_number_is_read_back_while_denoising(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    z0, words = backbone.encode(images), backbone.embed(PROMPTS)
    cells = torch.zeros(3, 8, 8, dtype=torch.bool)
    generators = [sample_generator(seed) for seed in SEEDS]

    def predict(latents: Tensor, timestep: int) -> Tensor:
        return backbone.predict_noise(latents, timestep, words, guidance_scale=2.0)

    configs = [InversionConfig(mode=mode) for mode in ("warm", "ddim")]
    configs.append(InversionConfig(mode="renoise", num_renoise_iterations=1, regularise=True, regularise_num_steps=1))
    with CallsOf() as calls:
        for config in configs:
            trajectory = invert(predict, z0, backbone.schedule, 48, config)
            how = ResamplingConfig(eta=0.5, blend=True)
            resample(predict, trajectory[-1], backbone.schedule, 48, how, generators, trajectory, cells)
    assert calls.counts["convolution"] > 0
    assert calls.counts["_local_scalar_dense"] == calls.counts["item"] == 0


def test_blend_leaves_no_latent_error_outside(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    z0, words = backbone.encode(images), backbone.embed(PROMPTS)

    def predict(latents: Tensor, timestep: int) -> Tensor:
        return backbone.predict_noise(latents, timestep, words)

    cells = torch.zeros(3, 8, 8, dtype=torch.bool)
    cells[:, 2:5, 2:5] = True
    trajectory = invert(predict, z0, backbone.schedule, 45, InversionConfig())
    damaged = torch.where(cells[:, None], torch.randn_like(z0), trajectory[-1])
    plain = resample(predict, damaged, backbone.schedule, 45, ResamplingConfig())
    blended = resample(
        predict, damaged, backbone.schedule, 45, ResamplingConfig(blend=True), stored=trajectory, cells_BHW=cells
    )
    outside = ~cells[:, None].expand_as(z0)
    assert torch.equal(blended[outside], z0[outside])
    assert not torch.equal(plain[outside], z0[outside])
    assert not torch.equal(blended[~outside], z0[~outside])


def test_blended_clean_rows_are_the_round_trip(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    config = CorruptionConfig(injection=SHORT.injection, resampling=ResamplingConfig(blend=True))
    batch = corrupt(backbone, images, torch.zeros_like(masks), PROMPTS, SEEDS, config)
    assert torch.equal(batch.images_NHWC, batch.round_trips_NHWC)
    assert all(v.change_outside == 0.0 for v in batch.verifications)


def test_clean_rows_go_the_same_way(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    """Without injection the seed must not matter, and the image is a reconstruction, not the source."""
    empty = torch.zeros_like(masks)
    first = corrupt(backbone, images, empty, PROMPTS, SEEDS, SHORT)
    second = corrupt(backbone, images, empty, PROMPTS, [0, 0, 0], SHORT)
    assert torch.equal(first.images_NHWC, second.images_NHWC)
    assert first.nfe.resampling == 9
    assert not torch.equal(first.images_NHWC, images)


def test_switches_bring_source_pixels(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    told = {"injection": SHORT.injection, "inversion": SHORT.inversion}
    pasted = corrupt(backbone, images, masks, PROMPTS, SEEDS, CorruptionConfig(paste_back=True, **told))
    plain = corrupt(backbone, images, masks, PROMPTS, SEEDS, CorruptionConfig(**told))
    raw = corrupt(backbone, images, masks, PROMPTS, SEEDS, CorruptionConfig(raw_negatives=True, **told))
    inside = masks == 1
    for row in (0, 2):
        assert torch.equal(pasted.images_NHWC[row][~inside[row]], images[row][~inside[row]])
        assert torch.equal(pasted.images_NHWC[row][inside[row]], plain.images_NHWC[row][inside[row]])
        assert torch.equal(raw.images_NHWC[row], plain.images_NHWC[row])
    assert torch.equal(pasted.images_NHWC[1], plain.images_NHWC[1]), "clean rows are raw_negatives' business"
    assert torch.equal(raw.images_NHWC[1], images[1])


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_and_place_runs(backbone: Backbone, images: Tensor, masks: Tensor, method: str) -> None:
    results = []
    for place in METHODS[method].places:
        injection = InjectionConfig(method=method, act_on=place, start_step=48)
        config = CorruptionConfig(injection=injection, verification=VerificationConfig(policy="keep"))
        batch = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
        assert torch.equal(batch.masks_NHW, masks)
        assert batch.verifications[0].change_inside > batch.verifications[1].change_outside
        results.append(batch.images_NHWC[0])
    assert all(not torch.equal(results[0], other) for other in results[1:])
    if method == "direct":
        assert (batch.nfe.inversion, batch.nfe.resampling) == (0, 0)
        assert torch.equal(batch.images_NHWC[1], batch.round_trips_NHWC[1])


@pytest.mark.parametrize("start_step", [0, 49])
def test_the_ends_of_the_grid(backbone: Backbone, images: Tensor, masks: Tensor, start_step: int) -> None:
    config = CorruptionConfig(
        injection=InjectionConfig(start_step=start_step),
        inversion=InversionConfig(mode="ddim"),
    )
    batch = corrupt(backbone, images[:1], masks[:1], PROMPTS[:1], SEEDS[:1], config)
    assert batch.nfe.inversion == batch.nfe.resampling == 50 - start_step


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_flat_white_image_in_half_precision(model_folder: Path, dtype: str) -> None:
    half = load_backbone(model_folder, dtype=dtype)
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[0, 8:16, 8:16] = 1
    inversion = InversionConfig(mode="renoise", num_renoise_iterations=1, regularise=True)
    config = CorruptionConfig(inversion=inversion, injection=InjectionConfig(start_step=48))
    inverted = invert_images(half, white, [""], config)
    assert all(latents.dtype == torch.float32 for latents in inverted.trajectory)
    assert torch.isfinite(torch.stack(inverted.trajectory)).all()
    batch = corrupt_inverted(half, inverted, make_rows(white, mask, [1]), config)  # decode raises on NaN
    assert batch.verifications[0].num_components == 1


def test_what_does_not_fit_is_said(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    with pytest.raises(ValueError, match=r"needed: uint8 \(3, 32, 32\)"):
        corrupt(backbone, images, masks[:, :16], PROMPTS, SEEDS, SHORT)
    with pytest.raises(ValueError, match="2 prompts for 3 images"):
        corrupt(backbone, images, masks, PROMPTS[:2], SEEDS, SHORT)
    with pytest.raises(ValueError, match="2 seeds for 3 rows"):
        corrupt(backbone, images, masks, PROMPTS, SEEDS[:2], SHORT)
    with pytest.raises(ValueError, match=r"names images 0\.\.3; allowed are 0\.\.2"):
        corrupt(backbone, images, masks, PROMPTS, SEEDS, SHORT, source_of_row=(0, 1, 3))
    with pytest.raises(ValueError, match=r"other than 0 \(clean\), 1 \(artifact\) and 255"):
        corrupt(backbone, images, masks * 2, PROMPTS, SEEDS, SHORT)
