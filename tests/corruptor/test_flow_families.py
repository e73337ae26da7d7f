"""Flow-matching families against diffusers' own pipelines: the same latents in, the same image out; there and back."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_flow
import torch
from diffusers import DiffusionPipeline
from tiny_models import make_single_file
from torch import Tensor

from corruptor.backbone import Backbone, load_backbone
from corruptor.config import CorruptionConfig, InjectionConfig, InversionConfig, ResamplingConfig
from corruptor.corrupt import corrupt
from corruptor.families.packing import pack, unpack
from corruptor.families.table import FAMILIES
from corruptor.in_memory import backbone_of
from corruptor.line.config import LineConfig, ModelConfig, SourceConfig
from corruptor.line.run import check_grid, check_steps
from corruptor.loading import Precision, pick_dtypes, text_leaves
from corruptor.renoise import invert
from corruptor.resample import resample
from shards.resize import SizePolicy

MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd3": tiny_flow.make_sd3,
    "sd3-no-t5": partial(tiny_flow.make_sd3, t5=False),
    "sd3-dynamic": partial(tiny_flow.make_sd3, scheduler=tiny_flow.DYNAMIC),
    "flux-dev": tiny_flow.make_flux,
    "flux-schnell": partial(tiny_flow.make_flux, dev=False),
    "qwen": tiny_flow.make_qwen,
    "flux2-klein": tiny_flow.make_flux2,
    "flux2-klein-base": partial(tiny_flow.make_flux2, distilled=False),
    "sd-flow": tiny_flow.make_sd_flow,
}
PROMPTS = ["a red face", "car"]
LENGTHS = {"flux-dev": 512, "flux-schnell": 256}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp("flow") / name)
        return made[name]

    return folder


@pytest.fixture(scope="module")
def loaded(folders: Callable[[str], Path]) -> Callable[[str], Backbone]:
    """Loaded once: what a test asks of a model changes nothing of it but its counter."""
    return functools.cache(lambda name: load_backbone(folders(name)))


def start_latents(height: int = 8, width: int = 12) -> Tensor:
    return torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(5))


def by_diffusers(name: str, folder: Path, latents: Tensor, num_steps: int, scale: float, negative: str) -> Tensor:
    """Images (2, H, W, 3), 0..255, of the folder's own pipeline and scheduler."""
    absent = dict.fromkeys(("text_encoder_3", "tokenizer_3")) if name == "sd3-no-t5" else {}
    pipeline = DiffusionPipeline.from_pretrained(folder, **absent)
    pipeline.set_progress_bar_config(disable=True)
    told: dict[str, Any] = {"guidance_scale": scale}
    if name.startswith("sd3"):
        told["negative_prompt"] = [negative] * 2
    if name == "qwen":
        told = {"true_cfg_scale": scale, "negative_prompt": [negative] * 2}
    if name in LENGTHS:
        told["max_sequence_length"] = LENGTHS[name]
    given = latents if name.startswith("sd") else pack(latents)
    if name.startswith("flux2"):  # which are packed there, after their places were told
        given = given.mT.unflatten(2, (latents.shape[2] // 2, latents.shape[3] // 2))
    out = pipeline(
        prompt=PROMPTS,
        latents=given,
        height=latents.shape[2] * 4,
        width=latents.shape[3] * 4,
        num_inference_steps=num_steps,
        output_type="pt",
        **told,
    )
    return out.images.permute(0, 2, 3, 1) * 255


def by_us(backbone: Backbone, latents: Tensor, num_steps: int, scale: float, negative: str) -> Tensor:
    words = backbone.embed(PROMPTS)

    def predict(z: Tensor, timestep: float) -> Tensor:
        return backbone.predict_noise(z, timestep, words, scale, negative)

    schedule = backbone.schedule.with_steps(num_steps).for_size(*latents.shape[2:])
    return backbone.decode(resample(predict, latents, schedule, 0, ResamplingConfig()))


GUIDED = [
    ("sd3", 4.0, "hand"),
    ("sd3-no-t5", 1.0, ""),
    ("flux-dev", 3.5, ""),
    ("flux-schnell", 1.0, ""),
    ("qwen", 4.0, "hand"),
    ("flux2-klein", 1.0, ""),
    ("flux2-klein-base", 4.0, ""),
    *[pytest.param(name, 1.0, "", marks=pytest.mark.slow) for name in ("sd3", "sd3-dynamic", "flux-dev", "qwen")],
    pytest.param("sd3-no-t5", 4.0, "hand", marks=pytest.mark.slow),
]
IN_CI = ("sd3", "flux-dev", "qwen", "flux2-klein", "sd-flow")
"""The others are of the same code, and run with the slow ones."""


@pytest.mark.parametrize(("name", "scale", "negative"), GUIDED)
def test_same_latents_same_image_as_diffusers(
    name: str,
    scale: float,
    negative: str,
    folders: Callable[[str], Path],
    loaded: Callable[[str], Backbone],
) -> None:
    latents = start_latents()
    expected = by_diffusers(name, folders(name), latents, 3, scale, negative)
    ours = by_us(loaded(name), latents, 3, scale, negative)
    assert expected.std() > 1
    assert (ours - expected).abs().max() <= 0.6


def test_a_unet_of_flow_is_eulers_sum(loaded: Callable[[str], Backbone]) -> None:
    """No pipeline of diffusers runs one: x0 = x - sum over the grid of the velocity times its step, by hand."""
    backbone, latents = loaded("sd-flow"), start_latents(8, 8)
    words = backbone.embed(PROMPTS)
    z = latents
    for timestep in (1000.0, 750.0, 500.0, 250.0):
        level = torch.tensor([timestep])
        with torch.no_grad():
            z = z - 0.25 * backbone._denoiser.network(z, level, encoder_hidden_states=words.hidden_BLD).sample
    assert torch.equal(by_us(backbone, latents, 4, 1.0, ""), backbone.decode(z))


def test_guidance_is_not_idle(loaded: Callable[[str], Backbone]) -> None:
    """The comparisons above would also hold if scale and negative prompt meant nothing."""
    for name, negative in (("sd3", "hand"), ("qwen", "hand"), ("flux-dev", "")):
        backbone, latents = loaded(name), start_latents()
        words = backbone.embed(PROMPTS)
        plain, guided = (backbone.predict_noise(latents, 500.0, words, s, negative) for s in (1.0, 4.0))
        assert (plain - guided).abs().max() > 1e-3
        backbone.nfe.reset()
        backbone.predict_noise(latents, 500.0, words, 4.0, negative)
        assert backbone.nfe.samples == (2 if name == "flux-dev" else 4)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_CI else pytest.mark.slow) for name in MAKERS]
)
def test_inversion_and_resampling_reconstruct(name: str, loaded: Callable[[str], Backbone], images: Tensor) -> None:
    backbone = loaded(name)
    z0, words = backbone.encode(images[:2]), backbone.embed(PROMPTS)
    assert (backbone.decode(z0).shape, z0.dtype) == (images[:2].shape, torch.float32)

    def predict(z: Tensor, timestep: float) -> Tensor:
        return backbone.predict_noise(z, timestep, words)

    schedule = backbone.schedule.with_steps(50).for_size(*z0.shape[2:])
    trajectory = invert(predict, z0, schedule, 46, InversionConfig(mode="warm", warm_passes=(8,)))
    back = resample(predict, trajectory[-1], schedule, 46, ResamplingConfig())
    assert (trajectory[-1] - z0).abs().max() > 0.02
    torch.testing.assert_close(back, z0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["sd3", "qwen", pytest.param("flux-dev", marks=pytest.mark.slow)])
def test_a_batch_is_its_singles(name: str, loaded: Callable[[str], Backbone], images: Tensor, masks: Tensor) -> None:
    """Prompts of unlike length among them."""
    backbone = loaded(name)
    config = CorruptionConfig(
        num_grid_steps=8,
        inversion=InversionConfig(warm_passes=(2, 1)),
        injection=InjectionConfig(start_step=6),
        resampling=ResamplingConfig(guidance_scale=3.0),
    )
    prompts, seeds = [*PROMPTS, ""], [1, 2, 3]
    batch = corrupt(backbone, images, masks, prompts, seeds, config)
    for row in range(3):
        one = slice(row, row + 1)
        alone = corrupt(backbone, images[one], masks[one], prompts[one], seeds[one], config)
        assert (alone.images_NHWC[0].int() - batch.images_NHWC[row].int()).abs().max() <= 1
    assert batch.nfe.resampling == 3 * 2 * backbone.guidance.samples_at(3.0)


def test_tokens_are_two_by_two_cells_and_come_back() -> None:
    latents = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    tokens = pack(latents)
    assert tokens.shape == (2, 6, 12)
    assert tokens[0, 1].tolist() == [2, 3, 8, 9, 26, 27, 32, 33, 50, 51, 56, 57]
    assert torch.equal(unpack(tokens, 4, 6), latents)


IN_MEMORY = {
    "sd3-no-t5": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "flux-dev": ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    "flux-schnell": ("FluxPipeline",),
    "qwen": ("QwenImagePipeline", "QwenImageImg2ImgPipeline"),
    "flux2-klein": ("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
    "flux2-klein-base": ("Flux2KleinPipeline",),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "flux-schnell" else pytest.mark.slow) for name in IN_MEMORY]
)
def test_a_pipeline_in_memory(name: str, folders: Callable[[str], Path], loaded: Callable[[str], Backbone]) -> None:
    other = loaded(name)
    expected = by_us(other, start_latents(), 2, 1.0, "")
    for kind in IN_MEMORY[name]:
        absent = dict.fromkeys(("text_encoder_3", "tokenizer_3")) if name == "sd3-no-t5" else {}
        backbone = backbone_of(getattr(diffusers, kind).from_pretrained(folders(name), **absent))
        assert backbone.guidance == other.guidance
        assert torch.equal(by_us(backbone, start_latents(), 2, 1.0, ""), expected)


def test_prompts_that_are_cut(loaded: Callable[[str], Backbone]) -> None:
    """CLIP has 12 places here; T5, where it is there, takes the rest up to its own length."""
    long, longer = "a face " * 10, "a face " * 300
    assert not loaded("sd3").is_cut(long)
    assert loaded("sd3").is_cut(longer)
    assert loaded("sd3-no-t5").is_cut(long)
    assert [loaded("qwen").is_cut(words) for words in (long, longer)] == [False, True]
    assert not loaded("sd-flow").is_cut("a face")


def edit(path: Path, **values: object) -> None:
    told = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def test_models_that_do_not_fit_are_one_line(folders: Callable[[str], Path], tmp_path: Path) -> None:
    packing = copy_of(folders("flux-dev"), tmp_path / "packing")
    shutil.rmtree(packing / "vae")
    shutil.copytree(make_wide_vae(tmp_path), packing / "vae")
    with pytest.raises(ValueError, match=r"takes 16 channels a token, but 2 x 2 cells of the VAE's 8 channels make 32"):
        load_backbone(packing)
    bare = copy_of(folders("sd3"), tmp_path / "bare")
    edit(bare / "scheduler" / "scheduler_config.json", shift=None, _class_name="EulerDiscreteScheduler")
    with pytest.raises(ValueError, match="scheduler EulerDiscreteScheduler has no shift"):
        load_backbone(bare)
    edit(bare / "scheduler" / "scheduler_config.json", shift=3.0, use_karras_sigmas=True)
    with pytest.raises(ValueError, match="has use_karras_sigmas, which is not supported"):
        load_backbone(bare)
    mixed = copy_of(folders("flux-schnell"), tmp_path / "mixed")
    shutil.rmtree(mixed / "text_encoder_2")
    tiny_flow.make_t5(48).save_pretrained(mixed / "text_encoder_2")
    with pytest.raises(ValueError, match="give 48 numbers a token and 16 pooled, but the transformer takes 24 and 16"):
        load_backbone(mixed)
    shallow = tiny_flow.make_flux2(tmp_path / "shallow", layers=20)
    with pytest.raises(ValueError, match=r"has 20 layers; .* reads its layer 27"):
        load_backbone(shallow)
    edited = copy_of(folders("qwen"), tmp_path / "edited")
    edit(edited / "transformer" / "config.json", zero_cond_t=True)
    with pytest.raises(ValueError, match="has zero_cond_t: models that edit pictures"):
        load_backbone(edited)


def make_wide_vae(folder: Path) -> Path:
    """Eight latent channels."""
    tiny_flow.make_vae(8).save_pretrained(folder / "wide")
    return folder / "wide"


def test_a_single_file_is_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    file = make_single_file(folders("sd-flow"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: a FluxPipeline is not loaded from a single file"):
        load_backbone(file, config=str(folders("flux-dev")))


def test_what_a_model_cannot_be_asked(folders: Callable[[str], Path], loaded: Callable[[str], Backbone]) -> None:
    schnell, dev = (loaded(name) for name in ("flux-schnell", "flux-dev"))
    guided = CorruptionConfig(resampling=ResamplingConfig(guidance_scale=3.5))
    with pytest.raises(ValueError, match=r"resampling\.guidance_scale is 3\.5, but this model was distilled"):
        check_grid(guided, schnell)
    check_grid(guided, dev)
    with pytest.raises(ValueError, match="negative_prompt is 'hand', but this model takes none"):
        check_grid(CorruptionConfig(negative_prompt="hand"), dev)
    with pytest.raises(ValueError, match=r"corruption: resampling\.eta is 1\.0, but flow matching"):
        check_grid(CorruptionConfig(resampling=ResamplingConfig(eta=1.0)), dev)
    large = LineConfig(SourceConfig("folder"), ModelConfig("m"), size=SizePolicy("crop", 256))
    with pytest.raises(ValueError, match=r"size\.size is 256; this model has places for pictures of at most 128"):
        check_steps(large, loaded("sd3"))
    check_steps(large, dev)
    with pytest.raises(ValueError, match="quantise is 'bnb-4bit', which needs a card"):
        load_backbone(folders("flux-dev"), quantise="bnb-4bit")
    with pytest.raises(ValueError, match="quantise is 'int3'; allowed are '', bnb-8bit"):
        load_backbone(folders("flux-dev"), quantise="int3")
    with pytest.raises(ValueError, match="text_encoders is 'off'; allowed are auto, stay, leave"):
        load_backbone(folders("flux-dev"), text_encoders="off")


@pytest.mark.slow
def test_half_precision_and_weights_in_pieces(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """As published: bfloat16 weights in several files; latents stay float32."""
    pieces = copy_of(folders("flux-dev"), tmp_path / "pieces")
    network = diffusers.FluxTransformer2DModel.from_pretrained(pieces / "transformer")
    shutil.rmtree(pieces / "transformer")
    network.to(torch.bfloat16).save_pretrained(pieces / "transformer", max_shard_size="20KB")
    assert len(list((pieces / "transformer").glob("*-of-*.safetensors"))) > 1
    backbone = load_backbone(pieces, dtype="bfloat16")
    roles = {part: backbone._parts[part].dtype for part in ("transformer", "vae", "text_encoder", "text_encoder_2")}
    assert set(roles.values()) == {torch.bfloat16}
    latents = start_latents()
    ours = backbone.predict_noise(latents, 500.0, backbone.embed(PROMPTS))
    exact = load_backbone(folders("flux-dev"))
    expected = exact.predict_noise(latents, 500.0, exact.embed(PROMPTS))
    assert ours.dtype == torch.float32
    assert (ours - expected).abs().max() < 0.05 * expected.abs().max()


def test_what_runs_in_half_precision_and_leaves_a_card() -> None:
    """On a card, which no test has: bfloat16 throughout, and text encoders that go; Stable Diffusion's stay in fp32."""
    card, cpu = torch.device("cuda"), torch.device("cpu")
    chosen = pick_dtypes(FAMILIES["flux-dev"], card, Precision(), {"force_upcast": True})
    assert set(chosen.values()) == {torch.bfloat16}
    old = pick_dtypes(FAMILIES["sd"], card, Precision(), {})
    assert old == {"denoiser": torch.float16, "vae": torch.float16, "text": torch.float32}
    assert set(pick_dtypes(FAMILIES["qwen-image"], cpu, Precision(), {}).values()) == {torch.float32}
    leaves = {
        name: text_leaves("auto", FAMILIES[name], card) for name in ("sd", "sdxl", "sd3", "flux-dev", "qwen-image")
    }
    assert leaves == {"sd": False, "sdxl": False, "sd3": True, "flux-dev": True, "qwen-image": True}
    assert not text_leaves("stay", FAMILIES["sd3"], card)
    assert text_leaves("leave", FAMILIES["sd"], card)
    assert not text_leaves("leave", FAMILIES["sd3"], cpu)
