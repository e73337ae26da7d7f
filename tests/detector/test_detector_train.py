"""Training for real, at tiny size: it learns, resumes to the same weights, records what it did, refuses bad input."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import detector.train
from detector.__main__ import main
from detector.config import load_config, set_seed
from detector.errors import DataError
from detector.folder import RESULT
from detector.heat import Detector
from detector.hooks import LOG, STATE, StateHook, set_prior
from detector.loop import RestartableLoop
from detector.tensors import read_tensors
from detector.train import WEIGHTS, Job, train
from shards.errors import ConfigError, ResumeError
from shards.reader import ShardReader
from shards.work_status import work_status_of

MINI = "configs/detector/swin_mini.py"


def job(out: Path, shards: Path, overrides, iterations=4, seed=None, val: Path | None = None) -> Job:
    config = load_config(MINI, overrides, iterations)
    if seed is not None:
        set_seed(config, seed)
    return Job(config, "swin_mini", out, (str(shards),), () if val is None else (str(val),))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_tensors(out / WEIGHTS)[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_red_squares(squares, overrides, tmp_path):
    shards, held_out = squares(tmp_path / "shards", 32), ShardReader(squares(tmp_path / "val", 24, every=3))
    train(job(tmp_path / "out", shards, (*overrides, "optim_wrapper.optimizer.lr=3e-3"), 60))
    images, masks = [s.image for s in held_out], np.stack([s.mask for s in held_out])
    heat = np.stack(Detector(tmp_path / "out" / WEIGHTS).heat(images))
    assert heat[masks == 1].mean() > 5 * heat[masks == 0].mean()
    losses = [line["loss"] for line in map(json.loads, (tmp_path / "out" / LOG).read_text().splitlines())]
    assert losses[-1] < losses[0] / 2


def test_classifiers_begin_at_the_frequency_of_the_classes():
    head = SimpleNamespace(num_classes=2, conv_seg=torch.nn.Conv2d(3, 2, 1))
    labels = [
        np.array([[0, 0, 1, 255]], np.uint8),
        np.array([[0, 0, 0, 0]], np.uint8),
    ]  # 6 clean, 1 artifact, 1 ignored
    set_prior(SimpleNamespace(decode_head=head, auxiliary_head=head), labels)
    assert head.conv_seg.bias.softmax(0).tolist() == pytest.approx([6 / 7, 1 / 7])


def test_the_same_seed_gives_the_same_weights_and_another_one_others(squares, overrides, tmp_path):
    shards = squares(tmp_path / "shards")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(job(tmp_path / name, shards, overrides, seed=seed))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("stop", [3, 4])
def test_a_stopped_training_resumes_to_the_same_weights(squares, overrides, tmp_path, monkeypatch, stop):
    shards = squares(tmp_path / "shards")
    validated = (*overrides, "train_cfg.val_interval=534")  # every second of 6 iterations
    whole = train(job(tmp_path / "whole", shards, validated, 6, val=shards))
    steps = RestartableLoop.run_iter

    def stopping(loop, batch):
        if loop.iter == stop:
            raise KeyboardInterrupt
        steps(loop, batch)

    with monkeypatch.context() as patch:
        patch.setattr(RestartableLoop, "run_iter", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(job(tmp_path / "cut", shards, validated, 6, val=shards))
    assert (tmp_path / "cut" / STATE).exists()
    record = train(job(tmp_path / "cut", shards, validated, 6, val=shards), resume=True)
    assert record["last_call"]["from_iteration"] == stop - stop % 2
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert record["validation_best"] == whole["validation_best"]
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / "cut" / LOG).read_text().splitlines()]
    assert iterations == [2, 2, 4, 4, 6, 6]


def test_patience_ends_a_training_and_a_resume_agrees(squares, overrides, tmp_path, monkeypatch):
    shards = squares(tmp_path / "shards")
    scores = {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.3, 5: 0.1, 6: 0.29, 7: 0.9, 8: 0.9}  # of equals the later counts as best
    monkeypatch.setattr(StateHook, "after_val_epoch", scripted(StateHook.after_val_epoch, scores))
    every = (*overrides, "train_cfg.val_interval=200")  # each of 8 iterations
    whole = train(job(tmp_path / "whole", shards, every, 8, val=shards))
    assert (whole["iterations"], whole["validation_best"]["iteration"]) == (8, 8)
    patient = (*every, "train_cfg.patience=2")
    with monkeypatch.context() as patch:
        patch.setattr(detector.train, "finish", lambda *_: 1 / 0)  # killed after the last iteration
        with pytest.raises(ZeroDivisionError):
            train(job(tmp_path / "out", shards, patient, 8, val=shards))
    record = train(job(tmp_path / "out", shards, patient, 8, val=shards))
    assert (record["iterations"], record["validation_best"]["iteration"]) == (6, 4)
    assert record["last_call"]["from_iteration"] == 6
    assert record["config"]["train_cfg"]["patience"] == 2
    assert "patience" not in whole["config"]["train_cfg"]
    with pytest.raises(ConfigError, match="patience waits for a better validation: name a validation set"):
        train(job(tmp_path / "blind", shards, patient, 8))


def scripted(after_val_epoch, scores):
    """The hook, told these artifact IoUs by iteration."""

    def told(hook, runner, metrics=None):
        after_val_epoch(hook, runner, {**metrics, hook.score: scores[runner.iter]})

    return told


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_weights(squares, overrides, tmp_path):
    shards = squares(tmp_path / "shards")
    sets = [word for text in overrides for word in ("--set", text)]

    def command(out: str) -> list[str]:
        words = ["train", MINI, "--shards", str(shards), "--out", str(tmp_path / out), "--iterations", "40", *sets]
        return [sys.executable, "-m", "detector", *words]

    subprocess.run(command("whole"), check=True)
    process = subprocess.Popen(command("cut"))
    while not (tmp_path / "cut" / STATE).exists():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run([*command("cut"), "--resume"], check=True)
    assert json.loads((tmp_path / "cut" / RESULT).read_text())["last_call"]["from_iteration"] > 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.slow
def test_two_processes_train_one_detector(squares, overrides, tmp_path):
    shards = squares(tmp_path / "shards")
    sets = [word for text in overrides for word in ("--set", text)]
    words = ["-m", "detector", "train", MINI, "--shards", str(shards), "--val", str(shards), "--launcher", "pytorch"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *words]
    subprocess.run([*torchrun, "--out", str(tmp_path / "out"), "--iterations", "4", *sets], check=True)
    record = json.loads((tmp_path / "out" / RESULT).read_text())
    best = record["validation_best"]
    assert best["val/tp"] + best["val/fn"] == sum(int((s.mask == 1).sum()) for s in ShardReader(shards))
    assert (tmp_path / "out" / WEIGHTS).exists()


def test_the_record(trained):
    record = json.loads((trained / RESULT).read_text())
    assert record["seed"] == 0
    assert record["iterations"] == 4
    assert len(record["shards"][0]["manifest_sha256"]) == 64
    assert record["config"]["train_cfg"]["max_iters"] == 4
    assert record["versions"]["torch"] == metadata.version("torch")  # a build names itself otherwise: 2.13.0+cu130
    assert set(record["validation_best"]) >= {"iteration", "val/artifact_iou", "val/tp", "val/fp", "val/fn"}
    said = json.loads((trained / "progress.jsonl").read_text().splitlines()[-1])
    assert (said["state"], said["done"], said["total"], said["unit"]) == ("finished", 4, 4, "iteration")
    status = work_status_of(trained)
    assert status is not None
    assert status.state == "finished"
    assert sorted(path.name for path in trained.iterdir()) == [
        "log.jsonl",
        "progress.jsonl",
        "run.json",
        RESULT,
        WEIGHTS,
    ]


def test_a_finished_training_is_not_repeated_and_another_is_refused(squares, overrides, tmp_path):
    shards = squares(tmp_path / "shards")
    first = train(job(tmp_path / "out", shards, overrides))
    stamp = (tmp_path / "out" / WEIGHTS).stat().st_mtime_ns
    assert train(job(tmp_path / "out", shards, overrides))["weights_sha256"] == first["weights_sha256"]
    assert (tmp_path / "out" / WEIGHTS).stat().st_mtime_ns == stamp
    with pytest.raises(ResumeError, match=r"holds another training \(config.randomness.seed: 0 there, 7 now"):
        train(job(tmp_path / "out", shards, (*overrides, "randomness.seed=7")))
    with pytest.raises(ResumeError, match="no training to resume"):
        train(job(tmp_path / "new", shards, overrides), resume=True)
    assert not (tmp_path / "new").exists()


def test_a_damaged_state_is_one_clear_line(squares, overrides, tmp_path):
    shards = squares(tmp_path / "shards")
    train(job(tmp_path / "out", shards, overrides))
    (tmp_path / "out" / RESULT).unlink()
    (tmp_path / "out" / STATE).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match=r"state.pth is damaged"):
        train(job(tmp_path / "out", shards, overrides))


def rewrite(run: Path, change) -> None:
    """Change the members of the run's only shard, as another program might have written it."""
    path = run / "shards" / "00000.tar"
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            told = tarfile.TarInfo(name)
            data = change(name, data)
            told.size = len(data)
            tar.addfile(told, io.BytesIO(data))


def other_version(name: str, data: bytes) -> bytes:
    return data.replace(b'"schema_version": 1', b'"schema_version": 99') if name.endswith(".json") else data


def smaller_mask(name: str, data: bytes) -> bytes:
    if not name.endswith("00005.mask.png"):
        return data
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((16, 16), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


BAD = {
    "version": "schema version 99",
    "sizes": "00000_00005: the mask is 16x16 but the image 32x32",
    "no artifact": "none of 16 samples holds an artifact",
    "one": "1 sample, but at least 2 are needed to train",
    "empty": "hold no samples",
    "missing": "do not exist",
}


def bad_set(kind: str, squares, folder: Path) -> Path:
    if kind == "missing":
        return folder
    if kind == "empty":
        folder.mkdir()
        with tarfile.open(folder / "00000.tar", "w"):
            pass
        return folder
    run = squares(folder, 1 if kind == "one" else 16, every={"no artifact": 1, "one": 0}.get(kind, 2))
    if kind in ("version", "sizes"):
        rewrite(run, other_version if kind == "version" else smaller_mask)
    return run


@pytest.mark.parametrize("kind", BAD)
def test_bad_shards_are_one_line_and_leave_nothing(kind, squares, overrides, tmp_path, capsys):
    shards, out = bad_set(kind, squares, tmp_path / "shards"), tmp_path / "out"
    sets = [word for text in overrides for word in ("--set", text)]
    assert main(["train", MINI, "--shards", str(shards), "--out", str(out), "--iterations", "2", *sets]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert BAD[kind] in said
    assert "\n" not in said
    assert not out.exists()


def test_validation_needs_an_artifact(squares, overrides, tmp_path):
    shards, empty = squares(tmp_path / "shards"), squares(tmp_path / "val", 4, every=1)
    with pytest.raises(DataError, match="nothing to choose a checkpoint by"):
        train(job(tmp_path / "out", shards, overrides, val=empty))


def test_a_sample_that_breaks_in_a_worker_is_one_line(squares, overrides, tmp_path):
    run = squares(tmp_path / "shards", 8)
    rewrite(run, lambda name, data: b"RIFF no picture" if name.endswith("00003.webp") else data)
    working = (*overrides, "train_dataloader.num_workers=2", "train_dataloader.persistent_workers=True")
    with pytest.raises(ValueError, match=r"damaged|cannot be") as caught:
        train(job(tmp_path / "out", run, working, 8))
    assert "\n" not in str(caught.value)


def test_a_batch_of_one_is_refused(squares, overrides, tmp_path):
    with pytest.raises(ConfigError, match="batch_size must be at least 2"):
        train(job(tmp_path / "out", squares(tmp_path / "shards"), (*overrides, "train_dataloader.batch_size=1")))


def test_help_shows_an_example(capsys):
    for words in ([], ["train"], ["pretrain"], ["predict"], ["export"], ["score"]):
        with pytest.raises(SystemExit) as done:
            main([*words, "--help"])
        assert done.value.code == 0
        assert "python -m detector" in capsys.readouterr().out
