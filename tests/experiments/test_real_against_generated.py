"""Real against generated: pictures of the same scenes, two classifiers, a threshold by hand, and the whole command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from red_squares import write_squares

from applications.baselines.cnn import CnnGenerates
from applications.baselines.patches import PatchForensics
from detector.score.api import Collector
from experiments.baselines import score, train
from experiments.baselines.__main__ import main
from experiments.baselines.pictures import KINDS, SPLIT
from experiments.baselines.train import METHODS, Recipe, degraded
from miniworld.generator.sample import load_pipeline, round_trip, sample_images
from miniworld.world.render import render
from miniworld.world.scenes import caption, sample_scene
from shards.images import decode_image

LOOKERS = {"cnngenerates": CnnGenerates, "patchforensics": PatchForensics}


def two_classes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, 64, 64, 3] twice: grey noise, and the same with a green square of 8 pixels somewhere."""
    rng = np.random.default_rng(0)
    real = rng.integers(90, 160, (count, 64, 64, 3)).astype(np.uint8)
    generated = real.copy()
    for image, (y, x) in zip(generated, rng.integers(0, 56, (count, 2)), strict=True):
        image[y : y + 8, x : x + 8] = (20, 240, 20)
    return real, generated


@pytest.mark.parametrize("name", METHODS)
def test_a_classifier_learns_and_its_file_is_what_the_baseline_reads(name: str, tmp_path: Path):
    real, generated = two_classes(40)
    recipe = Recipe(60, batch=16, rate=3e-3)
    told = train.train(METHODS[name], real, generated, recipe, "one", tmp_path)
    # A patch that does not see the square has no way to know: the mean over patches is right less often.
    assert told["accuracy"] >= (0.9 if name == "cnngenerates" else 0.7)
    assert told["held_out"] == 16
    looker = LOOKERS[name](tmp_path / "one.safetensors", 64, "cpu")
    heats = looker.look(list(generated[:8]))
    inside, outside = [], []
    for image, heat in zip(generated[:8], heats, strict=True):
        square = torch.from_numpy((image == (20, 240, 20)).all(-1)).float()[None]
        there = torch.nn.functional.adaptive_max_pool2d(square, heat.shape)[0] > 0
        inside.append(float(heat[there].mean()))
        outside.append(float(heat[~there].mean()))
    assert np.mean(inside) > np.mean(outside) + 0.1


def test_the_same_seed_gives_the_same_weights_and_what_is_done_is_kept(tmp_path: Path):
    real, generated = two_classes(10)
    for folder in ("a", "b"):
        train.train(METHODS["patchforensics"], real, generated, Recipe(2, batch=4), "one", tmp_path / folder)
    a, b = (tmp_path / folder / "one.safetensors" for folder in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()
    a.write_bytes(b"kept")
    train.train(METHODS["patchforensics"], real, generated, Recipe(2, batch=4), "one", tmp_path / "a")
    assert a.read_bytes() == b"kept"
    train.train(METHODS["patchforensics"], real, generated, Recipe(2, 1, batch=4), "one", tmp_path / "a")
    assert a.read_bytes() not in (b"kept", b.read_bytes())


def test_pictures_are_degraded_now_and_then():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    rng = np.random.default_rng(1)
    found = [degraded(image, rng) for _ in range(200)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in found)
    same = sum(np.array_equal(one, image) for one in found)
    assert 140 <= same <= 180  # neither blurred nor compressed: 0.9 * 0.9, and blurs too small to see
    crops = {train.cropped(image, rng).tobytes() for _ in range(50)}
    assert {len(crop) for crop in crops} == {56 * 56 * 3}
    assert len(crops) > 30


def test_the_threshold_is_the_best_by_hand():
    truth = np.array([[1, 1, 0, 0]], np.uint8)
    heat = np.array([[200, 100, 120, 50]], np.float32) / 255
    collector = Collector(0.5)
    collector.add("one", truth, heat)
    # From 200 on: 1 of 2. From 51 to 100 on: 2 of 3. Everything: 2 of 4.
    assert score.choose_threshold(collector.counts()) == pytest.approx(50.5 / 255)
    flat = Collector(0.5)
    flat.add("one", truth, np.zeros((1, 4), np.float32))
    assert 0 < score.choose_threshold(flat.counts()) < 1


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("baselines")
    for name in ("validation", "wild-test", "faults-test", "clean-test", "another"):
        write_squares(root / "sets" / name, 4, every=1 if name == "clean-test" else 2)
    words = ["--pictures", "5", "--iterations", "1", "--steps", "1", "--sets", str(root / "sets")]
    words += ["--unseen", str(root / "sets" / "another"), "--out", str(root / "out")]
    assert main(words) == 0
    return root, words


def test_the_whole_command(done: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]):
    root, words = done
    text = (root / "out" / "table.md").read_text()
    for name in (
        "CNNgenerates + Grad-CAM, against renders",
        "Patch Forensics, against round trips",
        "ours, 100 labels",
    ):
        assert f"| {name}" in text
    told = json.loads((root / "out" / "table.json").read_text())
    whole = told["rows"][0]["sets"]
    assert whole["wild-test"]["artifact_iou"]["value"] == pytest.approx(whole["wild-test"]["pixel_ap"]["value"])
    assert whole["clean-test"]["fpr_clean"]["value"] == 1
    assert "unseen: pixel AP" in text
    assert "unseen" not in text.partition("clean: APAA")[0]
    # The same pictures as those of wild-test here, under another name.
    assert [one["sets"]["another"] for one in told["rows"]] == [one["sets"]["wild-test"] for one in told["rows"]]
    before = {path: path.stat().st_mtime_ns for path in (root / "out" / "seen").rglob("*.png")}
    assert len(before) > 50
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out == text
    assert before == {path: path.stat().st_mtime_ns for path in (root / "out" / "seen").rglob("*.png")}


def test_the_pictures_are_of_the_same_scenes(done: tuple[Path, list[str]]):
    root, _ = done
    scene = sample_scene(SPLIT.seed(3))
    found = {
        kind: decode_image((root / "out" / "pictures" / kind / f"{scene.seed}.png").read_bytes()) for kind in KINDS
    }
    pipe, drawn = load_pipeline(), render(scene)
    assert np.array_equal(found["renders"], drawn)
    for kind, expected in (
        ("round_trips", round_trip(pipe, drawn[None])[0]),
        ("samples", sample_images(pipe, [caption(scene)], [scene.seed], steps=1)[0]),
    ):
        # Equal to rounding: a batch of another size moves a sum by a grey level.
        assert np.abs(found[kind].astype(int) - expected).max() <= 1


def test_what_cannot_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for words in (["--pictures", "1"], ["--iterations", "0"]):
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        assert words[0] in capsys.readouterr().err


def test_an_unseen_set_is_no_test_set_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--unseen", "other/wild-test", "--out", str(tmp_path / "out")]) == 2
    assert "rename the folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
