"""Values of a training's config, folders and states that are wrong: one line, before anything is written."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_cases import torch_bytes
from harness import run
from PIL import Image
from red_squares import TINY_SWIN, write_squares

from detector.checkpoint import load_detector
from detector.folder import RESULT, RUN
from detector.hooks import LOG, STATE
from detector.loop import RestartableLoop
from detector.train import WEIGHTS
from shards.claims import LOCK
from shards.locks import Locks

MINI = "configs/detector/swin_mini.py"
SETS = [word for text in TINY_SWIN for word in ("--set", text)]


@pytest.fixture(scope="module", autouse=True)
def finished(tmp_path_factory):
    """Shards and a finished training on them; what is imported late is imported here, outside of any time limit."""
    folder = tmp_path_factory.mktemp("finished")
    write_squares(folder / "shards", 8)
    again(folder, (0,), seconds=300)
    return folder


@pytest.fixture
def place(finished, tmp_path):
    shutil.copytree(finished / "shards", tmp_path / "shards")
    return tmp_path


def fit(place: Path, *more: str, codes: tuple[int, ...] = (2,), shards: str = "shards"):
    command = ["detector", "train", MINI, "--shards", shards, "--out", "out", "--iterations", "2", *SETS, *more]
    return run(command, place, "out", codes)


WRONG = {
    "optim_wrapper.optimizer.lr=-1.0": "lr must be a number",
    "optim_wrapper.optimizer.lr=0.0": "lr must be a number",
    "optim_wrapper.optimizer.lr=1e999": "optim_wrapper.optimizer.lr",
    "optim_wrapper.optimizer.lr=nan": "expected float",
    "optim_wrapper.optimizer.betas=(2, 3)": "betas[0] must be",
    "optim_wrapper.optimizer.type=os.system": "type must be",
    "optim_wrapper.optimizer.type=Abacus": "type must be one of 'AdamW'",
    "optim_wrapper.clip_grad={'max_norm': -1}": "max_norm must be",
    "optim_wrapper.clip_grad=7": "clip_grad must be",
    "train_dataloader.num_workers=-1": "num_workers must be",
    "train_dataloader.persistent_workers=True": "persistent_workers",
    "train_dataloader.batch_size=0": "batch_size must be",
    "train_dataloader.dataset.limit=-7": "limit must be",
    "train_dataloader.dataset.pipeline.0.type=os.system": "type must be the name of a registered class",
    "train_dataloader.dataset.pipeline.0.type=Abacus": "cannot be trained",
    "train_dataloader.dataset.pipeline.0.crop_size=(-4, 8)": "cannot be trained",
    "state_every=0": "state_every must be",
    "log_every=0": "log_every must be",
    "log_every=-1": "log_every must be",
    "prior_samples=-5": "prior_samples must be",
    "train_cfg.max_iters=0": "max_iters must be",
    "train_cfg.val_interval=0": "val_interval must be",
    "train_cfg.patience=-1": "patience must be",
    "randomness.seed=-1": "randomness.seed must be",
    "param_scheduler.0.type=os.system": "type must be",
    "param_scheduler.0.end=-1": "end must be",
    "model.backbone.depths=[1]": "must be equally long",
    "model.backbone.depths=[1, 1, 1, 999999]": "depths[3] must be",
    "model.decode_head.num_classes=3": "num_classes",
    "model.auxiliary_head.num_classes=3": "num_classes",
    "model.decode_head.channels=-1": "channels must be",
    "model.decode_head.loss_decode.type=os.system": "type must be",
    "model.decode_head.loss_decode.class_weight=nowhere.npy": "cannot be trained",
    "image_size=1000000": "image_size must be",
    "initialise={'source': 'x', 'part': []}": "initialise",
    "x={{}}": "x",
    "x={[]: 1}": "x",
    "=": "NAME=VALUE",
    "model.nonsense=1": "no 'model.nonsense'",
}


QUICK = (
    "lr=-1.0",
    "lr=1e999",
    "type=os.system",
    "num_workers=-1",
    "limit=-7",
    "-4, 8)",
    "every=0",
    "max_iters=0",
    "[1]",
)


@pytest.mark.parametrize(
    "told", [one if one.endswith(QUICK) else pytest.param(one, marks=pytest.mark.slow) for one in WRONG]
)
def test_a_wrong_value_is_one_line_and_leaves_nothing(told, place):
    assert WRONG[told] in fit(place, "--set", told).err
    assert not (place / "out").exists()


def test_the_corrected_command_works(place):
    fit(place, "--set", "train_dataloader.dataset.pipeline.0.crop_size=(-4, 8)")
    fit(place, codes=(0,))
    assert (place / "out" / WEIGHTS).exists()


@pytest.mark.parametrize(
    "words", [["--iterations", "-1"], ["--iterations", "9" * 12], ["--seed", "-1"], ["--seed", "9" * 30]]
)
def test_options(words, place):
    fit(place, *words)
    assert not (place / "out").exists()


def test_a_launcher_without_its_environment(place, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert "torchrun" in fit(place, "--launcher", "pytorch").err
    assert not (place / "out").exists()


def test_a_diverged_training_fails_and_leaves_no_weights(place):
    words = ["optim_wrapper.optimizer.lr=1e6", "param_scheduler.0.start_factor=1.0", "log_every=1"]
    sets = [word for text in words for word in ("--set", text)]
    command = ["detector", "train", MINI, "--shards", "shards", "--out", "out", "--iterations", "30", *SETS, *sets]
    assert "training diverged" in run(command, place, "out", (2,), seconds=60).err
    assert not set(os.listdir(place / "out")) & {WEIGHTS, RESULT, "best.safetensors"}


def test_weights_that_are_not_finite_end_a_training(place, monkeypatch):
    step = RestartableLoop.run_iter

    def spoil(loop, batch):
        step(loop, batch)
        with torch.no_grad():
            next(loop.runner.model.parameters()).fill_(float("nan"))

    monkeypatch.setattr(RestartableLoop, "run_iter", spoil)
    assert "training diverged" in fit(place).err
    assert not {WEIGHTS, STATE, RESULT} & set(os.listdir(place / "out"))


@pytest.fixture
def out(finished, place):
    """A finished training, to be damaged."""
    shutil.copytree(finished / "out", place / "out")
    return place / "out"


def again(place: Path, codes: tuple[int, ...] = (2,), seconds: float = 10):
    words = ["--shards", "shards", "--out", "out", "--iterations", "2", *SETS, "--set", "state_every=1"]
    return run(["detector", "train", MINI, *words], place, "out", codes, seconds=seconds)


@pytest.mark.parametrize("name", [RUN, RESULT])
@pytest.mark.parametrize("text", ["", "[]", "7", "{}", "[" * 50_000, '{"name": NaN}'])
def test_damaged_marks(name, text, place, out):
    (out / name).write_text(text)
    again(place)


def test_a_finished_training_is_taken_as_it_is(place, out):
    again(place, (0,))


@pytest.mark.parametrize("kind", ["detector", "no optimizer", "noise", "other iteration", "best"])
def test_states_of_something_else(kind, place, out):
    card = load_detector(out / WEIGHTS)[1]
    tensors = load_detector(out / WEIGHTS)[0].state_dict()
    (out / RESULT).unlink()
    meta = {"iter": 1, "epoch": 0, "card": card.to_json()}
    state = {"state_dict": tensors, "meta": meta}
    if kind == "detector":
        state = {"state_dict": {"w": torch.zeros(3)}, "meta": {}}
    elif kind == "other iteration":
        state["meta"] = {**meta, "iter": "seven"}
    elif kind == "best":
        state["meta"] = {**meta, "best": {"other": 1.0}}
    (out / STATE).write_bytes(b"PK\3\4noise" if kind == "noise" else torch_bytes(state))
    assert "state" in again(place).err


def test_a_log_that_is_cut(place, out):
    (out / RESULT).unlink()
    (out / LOG).write_text('{"iteration": 1, "loss": 0.5, "seco')
    again(place, (0,))
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    assert lines[-1]["iteration"] == 2


def test_two_at_once(place, out):
    (out / RESULT).unlink()
    lock = Locks(out / LOCK)
    assert lock.take(0)
    assert "another training is at work there" in again(place).err
    lock.release(0)
    again(place, (0,))
    assert not (out / LOCK).exists()


def test_masks_of_other_values_are_found_first(place):
    path = place / "shards" / "shards" / "00000.tar"
    with tarfile.open(path) as tar:
        members = [(one.name, tar.extractfile(one).read()) for one in tar]
    data = io.BytesIO()
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(data, "PNG")
    with tarfile.open(path, "w") as tar:
        for name, old in members:
            new = data.getvalue() if name.endswith("mask.png") else old
            told = tarfile.TarInfo(name)
            told.size = len(new)
            tar.addfile(told, io.BytesIO(new))
    assert "allowed are" in fit(place).err
    assert not (place / "out").exists()
