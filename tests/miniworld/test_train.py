"""The recipe on a handful of scenes: it writes a standard folder, goes on where it was, and begins from weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from miniworld.generator import state
from miniworld.generator.objective import FOCUS, FlowObjective, draw_timesteps
from miniworld.generator.plot_log import plot_losses
from miniworld.generator.recipe import Clock, FlowRecipe, Recipe
from miniworld.generator.train import adopt, train, train_flow

SMALL = Recipe(vae_scenes=8, vae_batch=2, unet_scenes=8, unet_batch=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A work folder and the pipeline folder that a very short training left."""
    root = tmp_path_factory.mktemp("train")
    train(0.01, root / "work", root / "weights", device="cpu", recipe=SMALL)
    return root / "work", root / "weights"


def test_the_folder_loads_as_a_stable_diffusion_pipeline(trained: tuple[Path, Path]):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(trained[1], local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("red car at top left, blue sky, sand ground", num_inference_steps=2, height=64, width=64).images[0]
    assert picture.size == (64, 64)
    assert not list(trained[1].rglob("*.bin"))


def test_the_next_call_goes_on(trained: tuple[Path, Path]):
    work, weights = trained
    before = json.loads((weights / "training.json").read_text())
    train(0.005, work, weights, device="cpu", recipe=SMALL)
    after = json.loads((weights / "training.json").read_text())
    assert after["unet_iterations"] > before["unet_iterations"]
    assert after["vae_iterations"] == before["vae_iterations"]


def test_another_recipe_in_the_same_folder_is_refused(trained: tuple[Path, Path]):
    with pytest.raises(state.StateError, match=r"seed: 7 there, 8 now"):
        train(0.01, *trained, device="cpu", recipe=replace(SMALL, seed=8))


def test_the_encoder_is_frozen_once_the_unet_trains(trained: tuple[Path, Path]):
    with pytest.raises(ValueError, match="--stage decoder"):
        train(0.01, *trained, device="cpu", stage="vae", recipe=SMALL)


def test_a_new_folder_begins_with_the_weights(trained: tuple[Path, Path], tmp_path: Path):
    work, weights = trained
    adopt(weights, tmp_path)
    for name in ("vae.pt", "unet.pt"):
        old, new = state.load(work / name), state.load(tmp_path / name)
        assert old is not None
        assert new is not None
        assert new["step"] == old["step"]
        for key, value in new["ema"].items():
            torch.testing.assert_close(value.float(), old["ema"][key].float(), rtol=1e-3, atol=1e-4)


def test_training_further_leaves_what_it_began_with_as_it_was(trained: tuple[Path, Path], tmp_path: Path):
    _, weights = trained
    before = {path: path.read_bytes() for path in sorted(weights.rglob("*.*"))}
    out = tmp_path / "further"
    train(0.005, tmp_path / "work", out, device="cpu", recipe=SMALL, start=weights)
    told, then = (json.loads((folder / "training.json").read_text()) for folder in (out, weights))
    assert told["unet_iterations"] > then["unet_iterations"]
    assert {path: path.read_bytes() for path in before} == before


def test_the_decoder_alone_leaves_encoder_and_scale_as_they_were(trained: tuple[Path, Path], tmp_path: Path):
    _, weights = trained
    copied = tmp_path / "weights"
    shutil.copytree(weights, copied)
    train(0.005, tmp_path / "work", copied, device="cpu", stage="decoder", recipe=SMALL)
    old, new = (load_file(w / "vae" / "diffusion_pytorch_model.safetensors") for w in (weights, copied))
    same = {key: torch.equal(value, new[key]) for key, value in old.items()}
    assert all(same[key] for key in same if key.startswith(("encoder.", "quant_conv.")))
    assert not all(same[key] for key in same if key.startswith("decoder."))
    scales = [json.loads((w / "vae" / "config.json").read_text())["scaling_factor"] for w in (weights, copied)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)


def test_a_time_box_cools_down_at_its_end(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr("miniworld.generator.recipe.time.monotonic", lambda: now[0])
    clock = Clock(minutes=1, cool=0.5)
    assert clock.rate(step=49, warmup=100) == pytest.approx(0.5)
    now[0] = 45.0
    assert clock.rate(step=1000, warmup=100) == pytest.approx(0.5)
    now[0] = 60.0
    assert clock.over()
    with pytest.raises(ValueError, match="--minutes is 0"):
        Clock(0)


def test_every_call_leaves_a_log_and_its_plot(trained: tuple[Path, Path], tmp_path: Path):
    assert not (trained[0] / "vae.jsonl").exists()  # a line every fifty iterations, and these were few
    (tmp_path / "unet.jsonl").write_text('{"step": 50, "loss": 0.5}\n{"step": 100, "loss": 0.2}\n')
    plot_losses(tmp_path, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileNotFoundError, match="no training log"):
        plot_losses(tmp_path / "nowhere", tmp_path / "loss.png")


def test_timesteps_are_drawn_more_often_where_shapes_are_decided():
    rng = torch.Generator().manual_seed(0)
    low, high = FOCUS
    drawn = draw_timesteps(20_000, 1000, 0.5, rng)
    assert drawn.min() >= 0
    assert drawn.max() <= 999
    inside = ((drawn >= low) & (drawn < high)).float().mean().item()
    assert inside == pytest.approx(0.5 + 0.5 * (high - low) / 1000, abs=0.015)
    even = draw_timesteps(20_000, 1000, 0.0, rng)
    assert ((even >= low) & (even < high)).float().mean().item() == pytest.approx((high - low) / 1000, abs=0.015)


def test_the_flow_objective_by_hand():
    """Noise 3 on latents 1 at s = 1/4: 1.5 going 2 a unit of s; a network that says 2 has no loss."""
    objective = FlowObjective(Recipe(), torch.device("cpu"))
    z, noise, levels = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 3.0), torch.tensor([250.0])
    assert objective.noised(z, noise, levels).item() == 1.5
    assert objective.loss(noise - z, z, noise, levels).item() == 0.0
    assert objective.loss(noise, z, noise, levels).item() == 1.0
    drawn = objective.draw(4000, torch.Generator().manual_seed(0))
    assert (float(drawn.min()) > 0, float(drawn.max()) < 1000) == (True, True)
    assert 450 < float(drawn.mean()) < 550


@pytest.mark.slow
def test_the_flow_sibling_begins_with_the_weights_and_goes_on(trained: tuple[Path, Path], tmp_path: Path):
    work, out = tmp_path / "work", tmp_path / "flow"
    small = FlowRecipe(vae_scenes=8, vae_batch=2, unet_scenes=8, unet_batch=2)
    steps = []
    for _ in range(2):
        train_flow(0.001, work, out, device="cpu", weights=trained[1], recipe=small)
        steps.append(json.loads((out / "training.json").read_text())["unet_iterations"])
    assert 0 < steps[0] < steps[1]
    told = json.loads((out / "scheduler" / "scheduler_config.json").read_text())
    assert (told["_class_name"], told["shift"]) == ("FlowMatchEulerDiscreteScheduler", 1.0)
    same = "vae/diffusion_pytorch_model.safetensors"
    assert all(torch.equal(v, load_file(out / same)[k]) for k, v in load_file(trained[1] / same).items())
    with pytest.raises(ValueError, match="holds the generator to begin with: name another folder"):
        train_flow(0.001, work, trained[1], device="cpu", weights=trained[1], recipe=small)
    with pytest.raises(state.StateError, match="flow"):
        train(0.001, work, out, device="cpu", recipe=SMALL)
