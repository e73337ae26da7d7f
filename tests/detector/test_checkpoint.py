"""Checkpoints: safe to load, whole or refused, and fitted to a model or told apart."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detector.__main__ import main
from detector.card import CARD, card_from_json
from detector.checkpoint import build_model, fit, load_detector, write_tensors
from detector.config import load_config
from detector.errors import CheckpointError
from detector.tensors import read_tensors
from detector.train import WEIGHTS, Job, make_card
from shards.errors import MissingInputError


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(1)}, "meta": Attack(tmp_path / "pwned")}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors") as caught:
        read_tensors(tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kind", ["subprocess.run", "os.system", "mmseg.ResNet", "Pretrained"])
def test_a_card_cannot_name_what_is_imported(trained, tmp_path, kind):
    tensors, card = read_tensors(trained / WEIGHTS)
    told = json.loads(card.to_json())
    told["model"]["backbone"] = {"type": kind, "args": ["true"]}
    save_file(tensors, tmp_path / "w.safetensors", {CARD: json.dumps(told)})
    with pytest.raises(CheckpointError, match=f"model.backbone: type '{kind}' is not allowed"):
        load_detector(tmp_path / "w.safetensors")


def test_a_card_cannot_name_other_checkpoints(trained, tmp_path):
    told = json.loads(read_tensors(trained / WEIGHTS)[1].to_json())
    told["model"]["backbone"]["init_cfg"] = {"checkpoint": "elsewhere.pth"}
    with pytest.raises(CheckpointError, match="init_cfg must be empty"):
        card_from_json(json.dumps(told), tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("keep", [0, 7, 0.5, 0.99])
def test_truncated_files(trained, tmp_path, suffix, keep):
    path = tmp_path / f"w{suffix}"
    tensors, _ = read_tensors(trained / WEIGHTS)
    save_file(tensors, path) if suffix == ".safetensors" else torch.save({"state_dict": tensors}, path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(CheckpointError, match="damaged") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_without_tensors(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        read_tensors(tmp_path / "none.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not named tensors"):
        read_tensors(tmp_path / "list.pth")


def test_another_architecture_is_told_apart(trained):
    tensors, card = read_tensors(trained / WEIGHTS)
    wider = json.loads(card.to_json())["model"]
    wider["decode_head"]["channels"] = 12
    model = build_model(dataclasses.replace(card, model=wider))
    with pytest.raises(CheckpointError, match=r"another architecture: \d+ of another size \(decode_head"):
        fit(model, tensors, "w.safetensors")
    tensors.pop("decode_head.conv_seg.weight")
    tensors["extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"1 missing \(such as decode_head.conv_seg.weight\); 1 unknown"):
        fit(build_model(card), tensors, "w.safetensors")


def test_a_state_of_a_running_training_is_a_checkpoint_too(trained, tmp_path):
    model, card = load_detector(trained / WEIGHTS)
    state = {"state_dict": model.state_dict(), "meta": {"card": card.to_json(), "iter": 3}}
    torch.save(state, tmp_path / "state.pth")
    again, told = load_detector(tmp_path / "state.pth")
    assert told == card
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_file_without_a_card_needs_a_config(trained, tmp_path):
    tensors, card = read_tensors(trained / WEIGHTS)
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match="name its config with --config"):
        load_detector(tmp_path / "bare.pth")
    model, _ = load_detector(tmp_path / "bare.pth", card)
    assert torch.equal(model.state_dict()["decode_head.conv_seg.bias"], tensors["decode_head.conv_seg.bias"])


def test_export_in_half_precision(trained, tmp_path, capsys):
    out = tmp_path / "half.safetensors"
    assert main(["export", str(trained / WEIGHTS), "--out", str(out), "--half"]) == 0
    assert "MB" in capsys.readouterr().out
    assert out.stat().st_size < 0.6 * (trained / WEIGHTS).stat().st_size
    full, card = read_tensors(trained / WEIGHTS)
    half, told = read_tensors(out)
    assert told == card
    for name, tensor in full.items():
        assert half[name].dtype == tensor.dtype
        np.testing.assert_allclose(half[name].numpy(), tensor.numpy(), rtol=1e-3, atol=1e-6)
    assert main(["export", str(trained / WEIGHTS), "--out", str(tmp_path / "w.pth")]) == 2


def test_writing_is_whole_or_not_at_all(trained, tmp_path, monkeypatch):
    tensors, card = read_tensors(trained / WEIGHTS)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="no space left"):
        write_tensors(tmp_path / "w.safetensors", tensors, card)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["swin_mini", "convnext_mini", "probe", "swin_t"])
@pytest.mark.parametrize("norm", [{"type": "BN"}, None])
def test_a_model_is_counted_before_it_is_built(name, norm):
    config = load_config(f"configs/detector/{name}.py")
    config.model.decode_head.norm_cfg = norm
    card = make_card(Job(config, name, Path()))
    state = build_model(card).state_dict()
    spare = sum(t.numel() for key, t in state.items() if key.endswith("relative_position_index"))
    assert card.size.spare == spare
    assert card.size.values == sum(t.numel() for t in state.values()) - spare


def test_the_widest_layer_of_the_small_network():
    """UPerNet joins four maps of 32 channels at half of 64 pixels: 128 * 32 * 32 values."""
    card = make_card(Job(load_config("configs/detector/swin_mini.py"), "swin_mini", Path()))
    assert card.size.widest == 128 * 32 * 32
