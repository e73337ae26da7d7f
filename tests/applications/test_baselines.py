"""Other methods as lookers: names, Grad-CAM against a sum by hand, and files that `detect score` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from applications.baselines.cnn import build_resnet, fit, grad_cam, renamed
from applications.baselines.segformer import SegFormer
from blemish.command import main
from detector.errors import CheckpointError


def test_names_of_torchvision():
    names = (
        "module.conv1.weight",
        "bn1.running_var",
        "layer1.0.downsample.0.weight",
        "layer4.2.conv3.weight",
        "fc.bias",
    )
    assert list(renamed(dict.fromkeys(names, torch.zeros(1)))) == [
        "resnet.embedder.embedder.convolution.weight",
        "resnet.embedder.embedder.normalization.running_var",
        "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight",
        "resnet.encoder.stages.3.layers.2.layer.2.convolution.weight",
        "classifier.1.bias",
    ]


def test_a_file_of_another_network_is_one_line(tmp_path: Path):
    model = build_resnet((1, 1), 8)
    with pytest.raises(CheckpointError, match="is no ResNet-50 with one output") as caught:
        fit(model, {"classifier.1.weight": torch.zeros(2, 64)}, tmp_path)
    assert "\n" not in str(caught.value)


def test_grad_cam_is_the_weighted_sum_of_the_last_maps():
    torch.manual_seed(0)
    model = build_resnet((1, 1), 8).eval().requires_grad_(False)
    pixels = torch.rand(2, 3, 64, 64)
    found = grad_cam(model, pixels)
    maps = model.resnet(pixels).last_hidden_state
    # Behind a mean over places stands a linear layer: the gradient of a map is its weight / number of places.
    weights = model.classifier[1].weight[0]
    cam = torch.einsum("c,bchw->bhw", weights, maps).clamp(min=0)
    chance = model(pixels).logits.sigmoid()[:, 0]
    for one, by_hand, likely in zip(found, cam, chance, strict=True):
        expected = likely * by_hand / by_hand.max() if by_hand.max() > 0 else torch.zeros_like(by_hand)
        assert torch.allclose(one, expected, atol=1e-5)
    alone = grad_cam(model, pixels[1:])
    assert torch.allclose(alone[0], found[1], atol=1e-5)


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segformer")
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[3, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=8, num_labels=1,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    return folder


def test_the_verb_writes_what_predict_writes(segformer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for number in range(2):
        Image.new("RGB", (48, 40), (90 * number, 80, 20)).save(pictures / f"{number}.png")
    words = ["baseline", "segformer", str(segformer), str(pictures), "--size", "64", "--device", "cpu"]
    assert main([*words, "--out", str(out)]) == 0
    assert "2 pictures in" in capsys.readouterr().out
    assert np.asarray(Image.open(out / "heat" / "0.png")).shape == (40, 48)
    assert (out / "par.csv").exists()
    looker = SegFormer(segformer, 64, "cpu")
    heat = looker.look([looker.prepare(np.zeros((9, 9, 3), np.uint8))])
    assert heat.shape == (1, 16, 16)
    assert 0 <= float(heat.min()) <= float(heat.max()) <= 1
    assert main([*words, "--size", "7", "--out", str(tmp_path / "other")]) == 2
    assert "--size is 7" in capsys.readouterr().err


def test_what_is_no_segformer(segformer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["baseline", "segformer", str(tmp_path / "none"), *words]) == 2
    assert "has no config.json" in capsys.readouterr().err
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text((segformer / "config.json").read_text())
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"nothing")
    assert main(["baseline", "segformer", str(tmp_path / "bad"), *words]) == 2
    assert "is no SegFormer that can be read" in capsys.readouterr().err
    save_file({"fc.bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert main(["baseline", "cnngenerates", str(tmp_path / "w.safetensors"), *words]) == 2
    assert "is no ResNet-50 with one output" in capsys.readouterr().err
