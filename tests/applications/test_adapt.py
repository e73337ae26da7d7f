"""Adaptation to a few pictures, and the check against forgetting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from red_squares import TINY_SWIN, write_squares
from safetensors.torch import load_file

from applications.adapt.adapt import Asked, adapt
from blemish.command import main
from detector.checkpoint import build_model
from detector.config import load_config
from detector.initialise import Initial, initialise_model
from detector.train import Job, make_card, train
from shards.errors import ConfigError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny detector of red squares with its config as a file, and shards."""
    folder = tmp_path_factory.mktemp("adapt")
    text = "from mmengine.config import read_base\n\nwith read_base():\n    from configs.detector.swin_mini import *\n"
    for override in TINY_SWIN:
        path, _, value = override.partition("=")
        keys = path.split(".")
        places = "".join(f"[{int(key)}]" if key.isdigit() else f"[{key!r}]" for key in keys[1:])
        if path == "train_dataloader.dataset.pipeline.0.crop_size":
            text += "train_pipeline[0]['crop_size'] = (24, 24)\n"
        elif path == "val_dataloader.dataset.pipeline.0.size":
            text += "val_pipeline[0]['size'] = 32\n"
        else:
            text += f"{keys[0]}{places} = {value}\n"
    config = folder / "tiny.py"
    config.write_text(text)
    shards = write_squares(folder / "shards", 12)
    train(Job(load_config(config, (), 4), "tiny", folder / "trained", (str(shards),)))
    return {"config": config, "shards": shards, "weights": folder / "trained" / "weights.safetensors", "folder": folder}


def asked(tiny: dict[str, Path], shots: Path, **more: object) -> Asked:
    shards = str(tiny["shards"])
    given = {"config": str(tiny["config"]), "iterations": 2, "device": "cpu", "resamples": 20, **more}
    return Asked(tiny["weights"], str(shots), shards, shards, **given)  # type: ignore[arg-type]


def test_both_detectors_are_scored_on_both_sets(tiny: dict[str, Path], tmp_path: Path):
    shots = write_squares(tmp_path / "shots", 4, first=100)
    holds, text = adapt(asked(tiny, shots, most_loss=1.0), tmp_path / "out")
    assert holds
    assert "| new | artifact_iou |" in text
    told = json.loads((tmp_path / "out" / "adapt.json").read_text())
    assert told["new"]["pictures"] == told["old"]["pictures"] == 12
    before, after = (load_file(path) for path in (tiny["weights"], tmp_path / "out" / "weights.safetensors"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert adapt(asked(tiny, shots, most_loss=1.0), tmp_path / "out")[1] == text  # goes on: nothing is left to do


def test_training_further_begins_with_the_classifiers_too(tiny: dict[str, Path]):
    config = load_config(tiny["config"])
    model = build_model(make_card(Job(config, "tiny", Path())))
    given = load_file(tiny["weights"])
    assert all(
        name.endswith("relative_position_index")
        for name in initialise_model(model, Initial(tiny["weights"], "whole", ""))
    )
    assert torch.equal(model.state_dict()["decode_head.conv_seg.weight"], given["decode_head.conv_seg.weight"])


def test_rehearsal_trains_on_both_as_often(tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from detector import train as module

    seen: list[Job] = []
    trained = module.train
    monkeypatch.setattr(module, "train", lambda job: (seen.append(job), trained(job))[1])
    shots = write_squares(tmp_path / "shots", 4, first=100)
    others = write_squares(tmp_path / "others", 8, first=200)
    adapt(asked(tiny, shots, rehearse=str(others), most_loss=1.0), tmp_path / "out")
    assert seen[0].shards == (str(shots), str(others))
    assert seen[0].config.train_dataloader.sampler.even is True
    told = json.loads((tmp_path / "out" / "training" / "train.json").read_text())
    assert len(told["shards"]) == 2
    with pytest.raises(ConfigError, match="among those of --old"):
        adapt(asked(tiny, shots, rehearse=str(tiny["shards"])), tmp_path / "another")


def test_forgetting_is_told_by_the_exit_code(tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from applications.adapt import adapt as module

    monkeypatch.setattr(module, "relative", lambda *_: -0.3)
    shots = write_squares(tmp_path / "shots", 4)
    holds, text = adapt(asked(tiny, shots), tmp_path / "out")
    assert not holds
    assert "forgotten on the old set: 30.0% of the artifact IoU; allowed are 5%" in text


def test_shots_without_an_artifact_are_one_line(
    tiny: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    clean, shards = write_squares(tmp_path / "clean", 10, every=1), str(tiny["shards"])
    words = ["adapt", str(tiny["weights"]), "--new", shards, "--old", shards, "--config", str(tiny["config"])]
    assert main([*words, "--shots", str(clean), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip()
    assert "artifact" in told
    assert "\n" not in told
    assert main([*words, "--shots", "no/shots", "--out", str(tmp_path / "other")]) == 2
    assert "no/shots do not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [({"rate": 0}, "--rate is 0"), ({"threshold": 1}, "--threshold is 1"), ({"most_loss": 2}, "--most-loss is 2")],
)
def test_bad_options(change: dict[str, float], said: str, tiny: dict[str, Path]):
    with pytest.raises(ConfigError, match=said):
        asked(tiny, tiny["shards"], **change)
