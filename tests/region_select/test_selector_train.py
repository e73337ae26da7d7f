"""Training a selector for real, at tiny size: what it stores, that it goes on, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from red_squares import TINY_SWIN, picture, write_squares

from detector.checkpoint import write_tensors
from detector.config import load_config
from detector.tensors import read_tensors
from region_select.__main__ import main
from region_select.selector import SELECTOR, Selector, find_weights
from region_select.train import RESULT, summary, train_selector
from shards.errors import ConfigError, MissingInputError, ResumeError
from shards.files import hash_file
from shards.reader import ShardReader

CONFIG = "configs/region_select/swin_mini.py"


def test_it_selects_red_squares(trained):
    selector = Selector.load(trained)
    samples = [picture(seed, seed % 2 == 1) for seed in range(200, 212)]
    heat = selector.heat(np.stack([s.image for s in samples]))
    masks = np.stack([s.mask for s in samples])
    assert heat.shape == masks.shape
    assert heat.dtype == np.float32
    assert heat[masks == 1].mean() > 3 * heat[masks == 0].mean()


def test_one_file_says_all(trained, squares):
    record = json.loads((trained / RESULT).read_text())
    assert record["selector_sha256"] == hash_file(trained / SELECTOR)
    selector = Selector.load(trained / SELECTOR)
    told = selector.tuning
    reader = ShardReader(squares)
    assert told.num_labels == 16
    assert told.label_area == pytest.approx(np.mean([reader.mask(i).mean() for i in range(16)]))
    assert told.num_validation == 8
    assert set(told.taus) == {"match_area", "best_iou"}
    assert told.ious["best_iou"] >= told.half_iou
    assert "artifact IoU there, by tau: 0.5 " in summary(record, trained)


def test_the_taus_do_what_they_say_on_the_stored_weights(trained):
    selector, val = Selector.load(trained), ShardReader(trained.parent / "val")
    heats = selector.heats([val.image(i) for i in range(8)])
    areas = [float((heat >= np.float32(selector.tau("match_area"))).mean()) for heat in heats]
    others = [float((heat >= np.float32(0.5)).mean()) for heat in heats]
    target = selector.tuning.label_area
    assert abs(np.mean(areas) - target) <= abs(np.mean(others) - target)
    truth = np.stack([val.mask(i) for i in range(8)]) == 1
    said = np.stack(heats) >= np.float32(selector.tau("best_iou"))
    assert (truth & said).sum() / (truth | said).sum() == pytest.approx(selector.tuning.ious["best_iou"])


def test_weights_are_stored_in_half_precision(trained):
    half, whole = read_tensors(trained / SELECTOR)[0], read_tensors(trained / "weights.safetensors")[0]
    assert all(torch.equal(half[name], t.half().float() if t.is_floating_point() else t) for name, t in whole.items())
    assert (trained / SELECTOR).stat().st_size < 0.7 * (trained / "weights.safetensors").stat().st_size


def test_equal_weights_are_equal_files(trained, tmp_path):
    tensors, card = read_tensors(trained / SELECTOR)
    written = set()
    for number in range(6):
        write_tensors(tmp_path / f"{number}.safetensors", tensors, card, half=True)
        written.add(hash_file(tmp_path / f"{number}.safetensors"))
    assert written == {hash_file(trained / SELECTOR)}
    again, same_card = read_tensors(tmp_path / "0.safetensors")
    assert same_card == card
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_the_same_call_gives_what_there_is_and_another_is_refused(trained, squares, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    overrides = (*TINY_SWIN, "optim_wrapper.optimizer.lr=3e-3")
    val = trained.parent / "val"
    stored = json.loads((out / RESULT).read_text())
    stamp = (out / SELECTOR).stat().st_mtime_ns
    assert train_selector(CONFIG, [squares], out, [val], overrides=overrides, iterations=40) == stored
    assert (out / SELECTOR).stat().st_mtime_ns == stamp
    (out / RESULT).unlink()  # as if killed before the end
    assert train_selector(CONFIG, [squares], out, [val], overrides=overrides, iterations=40) == stored
    assert hash_file(out / SELECTOR) == stored["selector_sha256"]
    with pytest.raises(ResumeError, match="another training"):
        train_selector(CONFIG, [squares], out, [val], overrides=overrides, iterations=41)


def test_without_validation_there_is_no_named_tau(squares, tmp_path):
    record = train_selector(CONFIG, [squares], tmp_path / "out", overrides=TINY_SWIN, iterations=2)
    assert record["tuning"]["taus"] == {}
    assert "no validation pictures" in summary(record, tmp_path / "out")
    with pytest.raises(ConfigError, match="train with --val"):
        Selector.load(tmp_path / "out").tau("match_area")


def test_the_last_iteration_may_be_kept(squares, tmp_path):
    val = write_squares(tmp_path / "val", 4, first=50)
    out = tmp_path / "out"
    train_selector(CONFIG, [squares], out, [val], overrides=TINY_SWIN, iterations=2, checkpoint="last")
    assert json.loads((out / "train.json").read_text())["validation_best"] == {}
    assert Selector.load(out).tuning.num_validation == 4


@pytest.mark.parametrize("name", ["swin_mini", "convnext_mini", "swin_t", "convnext_t"])
def test_configs_are_the_detectors_with_the_papers_few_shots(name):
    ours, theirs = (load_config(f"configs/{folder}/{name}.py") for folder in ("region_select", "detector"))
    assert ours.model.to_dict() == theirs.model.to_dict()
    assert ours.initialise.to_dict() == theirs.initialise.to_dict()
    assert ours.train_cfg.max_iters == ours.param_scheduler[-1]["end"] == 1000
    assert ours.train_dataloader.batch_size == 8


def test_weights_are_found_as_file_folder_and_detector(trained, tmp_path):
    assert find_weights(trained) == find_weights(trained / SELECTOR) == trained / SELECTOR
    shutil.copy(trained / "weights.safetensors", tmp_path / "weights.safetensors")
    assert find_weights(tmp_path) == tmp_path / "weights.safetensors"
    assert Selector.load(tmp_path).tuning is None
    with pytest.raises(MissingInputError, match="`blemish regions train configs"):
        find_weights(tmp_path / "none.safetensors")
    with pytest.raises(MissingInputError, match=r"`make region_select/weights/none\.safetensors`"):
        find_weights("region_select/weights/none.safetensors")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", CONFIG, "--labels", "nowhere"], "nowhere do not exist"),
        (["train", "configs/region_select/swin_mine.py", "--labels", "nowhere"], "does not exist; known in"),
        (["draw", "nowhere"], "nowhere do not exist"),
        (["masks", "none.safetensors", "nowhere"], "does not exist"),
        (["report", "configs/shards/miniworld.py", "--truth", "nowhere"], "nowhere do not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words, told, tmp_path: Path, capsys):
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", [[], ["train"], ["draw"], ["masks"], ["pseudo"], ["report"]])
def test_help_shows_an_example(verb, capsys):
    with pytest.raises(SystemExit) as done:
        main([*verb, "--help"])
    assert done.value.code == 0
    assert "python -m region_select" in capsys.readouterr().out
