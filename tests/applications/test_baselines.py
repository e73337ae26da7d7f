"""Other methods as lookers: names, Grad-CAM against a sum by hand, and files that `detect score` takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from applications.baselines.cnn import CnnGenerates, build_resnet, grad_cam, load_resnet, renamed, torchvision_names
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


def test_a_file_of_torchvision_makes_the_network_that_it_is_of():
    torch.manual_seed(0)
    model = build_resnet((2, 1), 8).eval()
    theirs = torchvision_names(model.state_dict())
    assert {"conv1.weight", "layer1.1.bn3.running_var", "layer2.0.downsample.0.weight", "fc.weight"} <= set(theirs)
    found = load_resnet(renamed({f"module.{name}": one for name, one in theirs.items()}), Path("w.pth"))
    pixels = torch.rand(1, 3, 40, 40)
    assert torch.equal(found(pixels).logits, model(pixels).logits)


def test_a_file_of_another_network_is_one_line():
    model = build_resnet((1, 1), 8)
    tensors = model.state_dict()
    for wrong, told in (
        ({"classifier.1.weight": torch.zeros(2, 64)}, "classifier.1.weight is \\(2, 64\\) \\(1 do not fit"),
        ({"classifier.1.bias": torch.tensor([torch.nan])}, "no finite numbers"),
    ):
        with pytest.raises(CheckpointError, match=told) as caught:
            load_resnet({**tensors, **wrong}, Path("w.pth"))
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"has no layer1\.0"):
        load_resnet({"fc.bias": torch.zeros(1)}, Path("w.pth"))
    deep = {f"resnet.encoder.stages.0.layers.{10**6}.layer.0.convolution.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="a stage of more than 64 blocks"):
        load_resnet(deep, Path("w.pth"))
    # As wide as a name could claim: refused by its shapes, without memory for it.
    with pytest.raises(CheckpointError, match="do not fit"):
        load_resnet(
            {**tensors, "resnet.embedder.embedder.convolution.weight": torch.zeros(1).expand(1 << 20)}, Path("w")
        )


def test_the_authors_files_keep_the_weights_below_a_name(tmp_path: Path):
    """`model` in CNNgenerates' files, `state_dict` in Patch Forensics', each beside the optimiser's state."""
    tensors = torchvision_names(build_resnet((1,), 8).state_dict())
    for name in ("model", "state_dict"):
        torch.save({name: tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}, tmp_path / "w.pth")
        assert CnnGenerates(tmp_path / "w.pth", 32, "cpu").look([np.zeros((32, 32, 3), np.uint8)]).shape == (1, 8, 8)


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


def test_a_bare_file_is_the_folder(segformer: Path, tmp_path: Path):
    torch.save(load_file(segformer / "model.safetensors"), tmp_path / "ad_pytorch_model.bin")
    of_folder, of_file = SegFormer(segformer, 64, "cpu"), SegFormer(tmp_path / "ad_pytorch_model.bin", 64, "cpu")
    wanted, found = of_folder.model.config, of_file.model.config
    for name in ("depths", "hidden_sizes", "num_attention_heads", "sr_ratios", "mlp_ratios", "patch_sizes", "strides"):
        assert list(getattr(wanted, name)) == list(getattr(found, name)), name
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert torch.equal(of_folder.look([picture]), of_file.look([picture]))


def test_weights_that_are_missing_do_not_stay_random(segformer: Path, tmp_path: Path):
    tensors = load_file(segformer / "model.safetensors")
    del tensors["decode_head.linear_c.0.proj.bias"]
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="1 missing keys, such as decode_head"):
        SegFormer(tmp_path / "w.pth", 64, "cpu")
    shutil.copytree(segformer, tmp_path / "folder")
    config = json.loads((segformer / "config.json").read_text())
    (tmp_path / "folder" / "config.json").write_text(json.dumps({**config, "hidden_sizes": [8, 16384]}))
    with pytest.raises(CheckpointError, match="its config tells of"):
        SegFormer(tmp_path / "folder", 64, "cpu")
    (tmp_path / "folder" / "config.json").write_text(json.dumps({**config, "depths": [1, 1 << 23]}))
    with pytest.raises(CheckpointError, match="at most 64 are built"):
        SegFormer(tmp_path / "folder", 64, "cpu")


def test_what_is_no_segformer(segformer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["baseline", "segformer", str(tmp_path / "none"), *words]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "bad").mkdir()
    assert main(["baseline", "segformer", str(tmp_path / "bad"), *words]) == 2
    assert "has no config.json" in capsys.readouterr().err
    (tmp_path / "bad" / "config.json").write_text((segformer / "config.json").read_text())
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"nothing")
    assert main(["baseline", "segformer", str(tmp_path / "bad"), *words]) == 2
    assert "is damaged or no safetensors file" in capsys.readouterr().err
    save_file({"fc.bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert main(["baseline", "cnngenerates", str(tmp_path / "w.safetensors"), *words]) == 2
    assert "is no ResNet of bottlenecks with one output" in capsys.readouterr().err
