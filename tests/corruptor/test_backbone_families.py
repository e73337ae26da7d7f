"""Every family against diffusers' own pipeline: the same latents in, the same image out; and there and back again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from tiny_models import make_sd, make_sdxl, make_single_file
from torch import Tensor

from corruptor.backbone import Backbone, load_backbone
from corruptor.config import CorruptionConfig, InjectionConfig, InversionConfig, ResamplingConfig
from corruptor.pipeline import corrupt
from corruptor.renoise import invert
from corruptor.resample import resample

MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd1": make_sd,
    "sd2": lambda folder: make_sd(folder, second=True),
    "sd2-v": lambda folder: make_sd(folder, second=True, prediction_type="v_prediction"),
    "sdxl": make_sdxl,
    "sdxl-no-zeros": lambda folder: make_sdxl(folder, zeros=False),
    "sdxl-turbo": lambda folder: make_sdxl(folder, spacing="trailing"),
}
PROMPTS = ["a red face", "car"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp("families") / name)
        return made[name]

    return folder


@pytest.fixture(params=MAKERS)
def folder(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Path:
    return folders(request.param)


def start_latents(height: int = 8, width: int = 8) -> Tensor:
    return torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(5))


def by_diffusers(folder: Path, latents: Tensor, num_steps: int, guidance: float, negative: str | None) -> Tensor:
    """Images (2, H, W, 3), 0..255, of the pipeline that the folder names, run with its own DDIM."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    out = pipeline(
        prompt=PROMPTS,
        negative_prompt=None if negative is None else [negative] * 2,
        latents=latents,
        height=latents.shape[2] * 4,
        width=latents.shape[3] * 4,
        num_inference_steps=num_steps,
        guidance_scale=guidance,
        output_type="pt",
    )
    return out.images.permute(0, 2, 3, 1) * 255


def by_us(backbone: Backbone, latents: Tensor, num_steps: int, guidance: float, negative: str) -> Tensor:
    words = backbone.embed(PROMPTS)

    def predict(z: Tensor, timestep: int) -> Tensor:
        return backbone.predict_noise(z, timestep, words, guidance, negative)

    schedule = backbone.schedule.with_steps(num_steps)
    return backbone.decode(resample(predict, latents, schedule, 0, ResamplingConfig()))


@pytest.mark.parametrize(
    ("guidance", "negative"), [(1.0, None), (4.0, None), (4.0, "hand")], ids=["plain", "guided", "negative"]
)
def test_same_latents_same_image_as_diffusers(folder: Path, guidance: float, negative: str | None) -> None:
    latents = start_latents()
    theirs = by_diffusers(folder, latents, 4, guidance, negative)
    ours = by_us(load_backbone(folder), latents, 4, guidance, negative or "")
    assert theirs.std() > 1
    assert (ours - theirs).abs().max() <= 0.6


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_pictures_that_are_not_square(name: str, folders: Callable[[str], Path]) -> None:
    """SDXL is told height and width: mixed up, the picture would be another."""
    latents = start_latents(8, 12)
    theirs = by_diffusers(folders(name), latents, 2, 1.0, None)
    ours = by_us(load_backbone(folders(name)), latents, 2, 1.0, "")
    assert (ours - theirs).abs().max() <= 0.6


def test_guidance_is_not_idle(folders: Callable[[str], Path]) -> None:
    """The comparisons above would also hold if prompts meant nothing."""
    for name in ("sd1", "sdxl"):
        backbone = load_backbone(folders(name))
        latents = start_latents()
        plain, guided, negative = (
            backbone.predict_noise(latents, 501, backbone.embed(PROMPTS), scale, words)
            for scale, words in ((1.0, ""), (4.0, ""), (4.0, "hand"))
        )
        assert (plain - guided).abs().max() > 1e-3
        assert (guided - negative).abs().max() > 1e-4


def test_inversion_and_resampling_reconstruct(folder: Path, images: Tensor) -> None:
    backbone = load_backbone(folder)
    z0 = backbone.encode(images[:2])
    words = backbone.embed(PROMPTS)

    def predict(z: Tensor, timestep: int) -> Tensor:
        return backbone.predict_noise(z, timestep, words)

    schedule = backbone.schedule.with_steps(50)
    trajectory = invert(predict, z0, schedule, 45, InversionConfig(mode="warm", warm_passes=(12,)))
    back = resample(predict, trajectory[-1], schedule, 45, ResamplingConfig())
    assert (trajectory[-1] - z0).abs().max() > 0.02
    torch.testing.assert_close(back, z0, atol=1e-4, rtol=0)


def test_the_one_step_of_the_turbo_grid_takes_more_passes(folders: Callable[[str], Path], images: Tensor) -> None:
    """From nothing to timestep 249 at once the fixed point is reached slowly, but it is the same one."""
    backbone = load_backbone(folders("sdxl-turbo"))
    z0, words = backbone.encode(images[:2]), backbone.embed(PROMPTS)

    def lost(num_passes: int) -> float:
        def predict(z: Tensor, timestep: int) -> Tensor:
            assert timestep == 249
            return backbone.predict_noise(z, timestep, words)

        config = InversionConfig(mode="warm", warm_passes=(num_passes,))
        z_t = invert(predict, z0, backbone.schedule, 3, config)[-1]
        return float((resample(predict, z_t, backbone.schedule, 3, ResamplingConfig()) - z0).abs().max())

    errors = [lost(num_passes) for num_passes in (1, 12, 40)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_a_batch_with_guidance_is_its_singles(folder: Path, images: Tensor, masks: Tensor) -> None:
    backbone = load_backbone(folder)
    steps = backbone.schedule.num_steps
    config = CorruptionConfig(
        num_grid_steps=steps,
        inversion=InversionConfig(warm_passes=(2, 1)),
        injection=InjectionConfig(start_step=steps - 2),
        resampling=ResamplingConfig(guidance_scale=3.0),
        negative_prompt="hand",
    )
    prompts, seeds = [*PROMPTS, ""], [1, 2, 3]
    batch = corrupt(backbone, images, masks, prompts, seeds, config)
    for row in range(3):
        one = slice(row, row + 1)
        alone = corrupt(backbone, images[one], masks[one], prompts[one], seeds[one], config)
        assert (alone.images_NHWC[0].int() - batch.images_NHWC[row].int()).abs().max() <= 1
    assert batch.nfe.resampling == 12


def test_the_turbo_grid_is_diffusers_trailing_one(folders: Callable[[str], Path]) -> None:
    schedule = load_backbone(folders("sdxl-turbo")).schedule
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    for num_steps in (1, 4, 10, 50):
        scheduler.set_timesteps(num_steps)
        ours = schedule.with_steps(num_steps).descending(0)
        assert list(ours) == scheduler.timesteps.tolist()
    assert schedule.descending(0) == (999, 749, 499, 249)
    assert load_backbone(folders("sdxl")).schedule.descending(40)[0] == 181
    with pytest.raises(ValueError, match="num_grid_steps is 3; this model's trailing grid needs a divisor of 1000"):
        schedule.with_steps(3)


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_a_single_file_is_the_folder(name: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    """Written under the original names by hand; configs alone beside it, as one fetches them."""
    file = make_single_file(folders(name), tmp_path / "model.safetensors")
    configs = Path(shutil.copytree(folders(name), tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors")))
    backbone = load_backbone(file, config=str(configs))
    expected = by_us(load_backbone(folders(name)), start_latents(), 2, 3.0, "")
    assert torch.equal(by_us(backbone, start_latents(), 2, 3.0, ""), expected)
    assert backbone.model_id == str(file)
    digest = backbone.digest()
    file.write_bytes(file.read_bytes() + b"\0")
    assert backbone.digest() != digest


def test_a_single_file_of_another_family(folders: Callable[[str], Path], tmp_path: Path) -> None:
    file = make_single_file(folders("sd1"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"no tensors conditioner\.embedders\.1.*a file for StableDiffusionPipeline"):
        load_backbone(file, config=str(folders("sdxl")))
    with pytest.raises(FileNotFoundError, match=r"no config folder was given.*hf download .* --local-dir DIR"):
        load_backbone(file)
    with pytest.raises(FileNotFoundError, match=r"no model file .*gone\.safetensors"):
        load_backbone(tmp_path / "gone.safetensors")
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(ValueError, match=r"model\.ckpt is a pickled file"):
        load_backbone(tmp_path / "model.ckpt")


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_vae_runs_in_what_is_safe(folders: Callable[[str], Path], tmp_path: Path) -> None:
    def vae_dtype(folder: Path, **more: Any) -> torch.dtype:
        return load_backbone(folder, **more)._vae.dtype

    half = {"dtype": "bfloat16"}
    assert vae_dtype(folders("sdxl")) == torch.float32
    assert vae_dtype(folders("sdxl"), **half) == torch.float32
    assert vae_dtype(folders("sdxl"), vae_dtype="bfloat16", **half) == torch.bfloat16
    # SD 1.x configs have force_upcast by diffusers' default, and do not overflow.
    assert vae_dtype(folders("sd1"), **half) == torch.float16
    with pytest.raises(ValueError, match=r"in which this VAE overflows.*sdxl-vae-fp16-fix"):
        vae_dtype(folders("sdxl"), vae_dtype="float16", **half)
    fixed = make_sdxl(tmp_path / "fixed", force_upcast=False)
    assert vae_dtype(fixed, **half) == torch.float16
    backbone = load_backbone(folders("sdxl"), vae=str(fixed / "vae"), **half)
    assert backbone._vae.dtype == torch.float16
    assert backbone.digest() != load_backbone(folders("sdxl")).digest()
    assert load_backbone(folders("sdxl"), revision="abc", vae=str(fixed)).revision == "abc vae fixed"
    with pytest.raises(FileNotFoundError, match="no VAE folder nowhere"):
        load_backbone(folders("sdxl"), vae="nowhere")


def test_parts_of_another_model_are_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(folders("sd1"), tmp_path / "mixed"))
    shutil.rmtree(mixed / "unet")
    shutil.copytree(folders("sd2") / "unet", mixed / "unet")
    with pytest.raises(ValueError, match="gives 16 numbers a token, but the UNet takes 24"):
        load_backbone(mixed)
    shutil.rmtree(mixed / "unet")
    shutil.copytree(folders("sdxl") / "unet", mixed / "unet")
    with pytest.raises(ValueError, match=r"addition_embed_type is 'text_time'.*of another family"):
        load_backbone(mixed)
    short = Path(shutil.copytree(folders("sdxl"), tmp_path / "short"))
    shutil.rmtree(short / "text_encoder_2")
    with pytest.raises(FileNotFoundError, match="text_encoder_2/ is missing"):
        load_backbone(short)
    edit(short / "model_index.json", _class_name="StableDiffusionXLImg2ImgPipeline")
    with pytest.raises(ValueError, match="supported are StableDiffusionPipeline, StableDiffusionXLPipeline"):
        load_backbone(short)
    (short / "model_index.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"model_index\.json is a Git LFS pointer"):
        load_backbone(short)
