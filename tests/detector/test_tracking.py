"""The log of a training in a tracker as well."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import tracking
from detector.__main__ import main
from detector.config import load_config
from detector.hooks import LOG
from detector.train import WEIGHTS, Job, train
from shards.errors import ConfigError

MINI = "configs/detector/swin_mini.py"


def test_a_tracker_that_is_not_installed_is_one_line_and_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    arguments = ["train", MINI, "--shards", str(tmp_path), "--out", str(tmp_path / "out"), "--track", "wandb"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "error: --track wandb: the package wandb is not installed; install it with: pip install 'blemish[track]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_an_unknown_tracker():
    with pytest.raises(ConfigError, match="allowed are tensorboard, wandb"):
        tracking.check_tracker("mlflow")


def test_tensorboard_has_what_the_log_has(squares: Callable[..., Path], overrides: tuple[str, ...], tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    shards = squares(tmp_path / "shards")
    settings = (*overrides, "log_every=1")
    for name, track in (("plain", ""), ("tracked", "tensorboard")):
        config = load_config(MINI, settings, 2)
        train(Job(config, "swin_mini", tmp_path / name, (str(shards),), track=track))
    events = accumulator.EventAccumulator(str(tmp_path / "tracked" / "tensorboard"))
    events.Reload()
    seen = {one.step: one.value for one in events.Scalars("loss")}
    lines = [json.loads(line) for line in (tmp_path / "tracked" / LOG).read_text().splitlines()]
    assert seen == pytest.approx({line["iteration"]: line["loss"] for line in lines})
    assert (tmp_path / "plain" / WEIGHTS).read_bytes() == (tmp_path / "tracked" / WEIGHTS).read_bytes()
    assert not (tmp_path / "plain" / "tensorboard").exists()
