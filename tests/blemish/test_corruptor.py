"""`Corruptor`: what comes out of a call, from a folder or from a pipeline in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from front_tools import tiny_models

import blemish
from blemish import Corruptor
from corruptor.config import CorruptionConfig
from corruptor.noise import sample_seed
from shards.resize import SizePolicy


def test_a_call_gives_all_that_belongs_to_a_sample(corruptor: Corruptor, picture: Any, mask: Any):
    result = corruptor(picture, mask * np.uint8(255), "a red car", seed=5)
    assert len(result) == 1
    assert result.masks_read_as == "0 clean, 255 artifact"
    assert result.verdicts == ("artifact",)
    image, label, twin = result.images[0], result.labels[0], result.twins[0]
    assert (image.dtype, image.shape, twin.shape) == (np.uint8, (32, 48, 3), (32, 48, 3))
    assert np.array_equal(label, mask)
    assert np.array_equal(result.requested_masks[0], mask)
    change = np.abs(image.astype(int) - twin).mean(axis=-1)
    assert change[mask].mean() > 1.5 * change[~mask].mean()
    assert result.measured[0].change_inside == pytest.approx(change[mask].mean(), rel=1e-5)
    assert result.seeds == (sample_seed(5, hashlib.sha256(picture.tobytes()).hexdigest(), 0, 0),)
    assert result.nfe == (4,)  # two steps up, two down
    assert result.prompts == ("a red car",)
    assert [one.mode for one in (*result.pil(), *result.labels_pil())] == ["RGB", "L"]
    assert set(np.unique(result.labels_pil()[0])) == {0, 255}
    assert "0: artifact, 1 of 1 components kept" in str(result)


def test_another_reading_of_the_same_mask_gives_the_same_picture(corruptor: Corruptor, picture: Any, mask: Any):
    first = corruptor(picture, mask)
    for given in (mask.astype(np.uint8), torch.from_numpy(mask), mask * 1.0):
        assert np.array_equal(corruptor(picture, given).images[0], first.images[0])


def test_one_by_one_equals_a_batch_but_for_rounding(corruptor: Corruptor, picture: Any, mask: Any):
    pictures = [np.roll(picture, shift, axis=1) for shift in (0, 3, 9, 14)] + [picture[:, :32]]
    masks = [mask, np.roll(mask, 4, axis=0), mask * False, mask, mask[:, :32]]
    prompts = ["a car", "", "a hand", "red", "face"]
    together = corruptor(pictures, masks, prompts, seed=3)
    backwards = corruptor(pictures[::-1], masks[::-1], prompts[::-1], seed=3)
    assert together.verdicts == ("artifact", "artifact", "clean", "artifact", "artifact")
    for place in range(5):
        alone = corruptor(pictures[place], masks[place], prompts[place], seed=3)
        assert alone.seeds[0] == together.seeds[place] == backwards.seeds[4 - place]
        for other in (together.images[place], backwards.images[4 - place]):
            assert np.abs(alone.images[0].astype(int) - other).max() <= 1
        assert np.array_equal(alone.labels[0], together.labels[place])


def test_variants_share_the_inversion_and_differ_in_noise(corruptor: Corruptor, picture: Any, mask: Any):
    before = corruptor.backbone.nfe.samples
    result = corruptor([picture, picture[:, ::-1]], [mask, mask[:, ::-1]], seed=1, variants=3)
    assert corruptor.backbone.nfe.samples - before == 2 * 2 + 6 * 2
    assert result.source_of_row == (0, 0, 0, 1, 1, 1)
    assert len(set(result.seeds)) == 6
    assert result.nfe == (4,) * 6
    assert not np.array_equal(result.images[0], result.images[1])
    assert np.array_equal(result.twins[0], result.twins[2])
    assert np.array_equal(result.requested_masks[3], mask[:, ::-1])
    alone = corruptor(picture, mask, seed=1).images[0]
    assert np.abs(alone.astype(int) - result.images[0]).max() <= 1  # rounding, as above


def test_the_seed_decides(corruptor: Corruptor, picture: Any, mask: Any):
    same = [corruptor(picture, mask, seed=seed).images[0] for seed in (1, 1, 2)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])


def test_a_region_that_does_not_change_enough_is_said(front_model: Path, picture: Any, mask: Any):
    strict = Corruptor.from_pretrained(
        front_model,
        device="cpu",
        config={"injection": {"start_step": 49}, "inversion": {"warm_passes": [1]}, "verification": {"threshold": 250}},
    )
    result = strict(picture, mask)
    assert result.verdicts == ("unchanged",)
    assert not result.labels[0].any()


def test_sizes(corruptor: Corruptor, picture: Any, mask: Any):
    with pytest.raises(ValueError, match="image 0 is 31 x 48 pixels; this model takes multiples of 8"):
        corruptor(picture[:31], mask[:31])
    assert corruptor(picture[:31], mask[:31], size=16).images[0].shape == (16, 16, 3)
    padded = corruptor(picture, mask, size=SizePolicy("pad", 32))
    assert padded.images[0].shape == (32, 32, 3)
    assert (padded.labels[0][0] == 255).all()
    with pytest.raises(ValueError, match="size: size must be 8 to 8192"):
        corruptor(picture, mask, size=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((16, 16), bool)}, "mask 0 is 16 x 16 pixels, its image 32 x 48"),
        ({"prompts": ["a", "b"]}, "2 prompts for 1 image"),
        ({"variants": 0}, "variants is 0"),
        ({"images": np.full((32, 48, 3), 2.0)}, "holds floats 2..2"),
        ({"masks": np.full((32, 48), 0.5)}, "soft"),
    ],
)
def test_bad_input_is_one_value_error(
    corruptor: Corruptor, picture: Any, mask: Any, change: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        corruptor(**{"images": picture, "masks": mask, **change})


def test_select_regions_feeds_a_corruptor(corruptor: Corruptor, picture: Any):
    masks = blemish.select_regions([picture, picture[:, :32]], "blobs", area=[0.1, 0.1], max_blobs=1)
    assert masks.found == (True, True)
    assert [one.shape for one in masks] == [(32, 48), (32, 32)]
    assert masks[0].mean() == pytest.approx(0.1, abs=0.001)
    again = blemish.select_regions(picture[:, :32], "blobs", area=[0.1, 0.1], max_blobs=1)
    assert np.array_equal(again[0], masks[1])
    assert corruptor([picture, picture[:, :32]], masks).verdicts == ("artifact", "artifact")
    assert len(masks[0:2]) == 2
    none = blemish.select_regions(picture, "scene")
    assert (none.found, none.masks[0].any()) == ((False,), False)
    assert "none of 0 parts" in none.details[0]
    with pytest.raises(ValueError, match="did you mean 'area'"):
        blemish.select_regions(picture, "blobs", aera=[0.1, 0.1])
    with pytest.raises(ValueError, match="unknown region policy 'blob'; did you mean 'blobs'"):
        blemish.select_regions(picture, "blob")


def test_what_cannot_be_loaded(front_model: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no model folder"):
        Corruptor.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match="unknown key 'dtpe'; did you mean 'dtype'"):
        Corruptor.from_pretrained(front_model, dtpe="float32")
    with pytest.raises(ValueError, match=r"unknown key 'injection\.start'; did you mean 'start_step'"):
        Corruptor.from_pretrained(front_model, device="cpu", config={"injection": {"start": 3}})
    with pytest.raises(ValueError, match="device 'gpu' cannot be used"):
        Corruptor.from_pretrained(front_model, device="gpu")
    with pytest.raises(ValueError, match="batch_size is 0"):
        Corruptor.from_pretrained(front_model, device="cpu", batch_size=0)
    config = {"injection": {"start_step": 48}, "resampling": {"num_steps": 60}}
    with pytest.raises(ValueError, match="corruption: num_steps is 60"):
        Corruptor.from_pretrained(front_model, device="cpu", config=config)


def test_the_config_of_a_run_can_be_named(front_model: Path):
    made = Corruptor.from_pretrained(front_model, device="cpu", config="configs/shards/miniworld.py")
    assert (made.config.num_grid_steps, made.config.verification.policy) == (8, "tighten")


def states(pipe: Any) -> dict[str, tuple[Any, ...]]:
    parts = {name: getattr(pipe, name) for name in ("unet", "vae", "text_encoder")}
    return {
        name: (id(part), part.training, part.dtype, part.device, [id(value) for value in part.parameters()])
        for name, part in parts.items()
    }


@pytest.mark.parametrize("kind", ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"])
def test_a_pipeline_in_memory_is_used_as_it_is(
    kind: str, front_model: Path, corruptor: Corruptor, quick: CorruptionConfig, picture: Any, mask: Any
):
    pipe = getattr(diffusers, kind).from_pretrained(front_model, safety_checker=None)
    before, scheduler = states(pipe), pipe.scheduler
    made = Corruptor.from_pipeline(pipe, config=quick)
    result = made([picture], [mask], ["a red car"], seed=7)
    assert np.array_equal(result.images[0], corruptor(picture, mask, "a red car", seed=7).images[0])
    assert states(pipe) == before
    assert pipe.scheduler is scheduler
    assert made.backbone._denoiser.network is pipe.unet
    assert made.backbone.digest() == Corruptor.from_pipeline(pipe).backbone.digest()
    with torch.no_grad():
        next(pipe.unet.parameters()).add_(0.01)
    assert made.backbone.digest() != corruptor.backbone.digest()
    assert not np.array_equal(made([picture], [mask], ["a red car"], seed=7).images[0], result.images[0])


def test_sdxl_pipelines_in_memory(tmp_path: Path, quick: CorruptionConfig, picture: Any, mask: Any):
    folder = tiny_models().make_sdxl(tmp_path / "xl")
    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
    made = Corruptor.from_pipeline(pipe, config=quick)
    other = Corruptor.from_pretrained(folder, device="cpu", config=quick)
    assert np.array_equal(made(picture, mask, "car").images[0], other(picture, mask, "car").images[0])
    pipe.vae.half()
    with pytest.raises(ValueError, match="VAE is in float16, in which it overflows"):
        Corruptor.from_pipeline(pipe)


def test_pipelines_that_cannot_be_used_are_one_line(front_model: Path):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(front_model, safety_checker=None)
    parts = {name: getattr(pipe, name) for name in ("vae", "unet", "scheduler")}
    other = diffusers.DDIMPipeline(unet=parts["unet"], scheduler=parts["scheduler"])
    with pytest.raises(ValueError, match="a DDIMPipeline is not supported; allowed are StableDiffusionPipeline"):
        Corruptor.from_pipeline(other)
    with pytest.raises(ValueError, match="a str is not supported"):
        Corruptor.from_pipeline("pipe")
    pipe.unet.train()
    with pytest.raises(ValueError, match="unet is in training mode"):
        Corruptor.from_pipeline(pipe)
    pipe.unet.eval()
    pipe.unet._hf_hook = object()
    with pytest.raises(ValueError, match="unet is offloaded"):
        Corruptor.from_pipeline(pipe)
    del pipe.unet._hf_hook
    pipe.text_encoder = None
    with pytest.raises(ValueError, match="the pipeline has no text_encoder"):
        Corruptor.from_pipeline(pipe)


def test_what_did_not_break_is_not_doubled_beside_the_mask():
    """`make shards` does that by default; who names a mask has named the place."""
    assert Corruptor.from_pretrained(device="cpu").config.ladder is None
