"""A bare segmenter as a detector: its folder, its card, its files; and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny_network
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage
from transformers import MaskFormerForInstanceSegmentation

from detector.__main__ import main
from detector.card import Card, card_from_json
from detector.checkpoint import load_detector, save_weights
from detector.errors import CheckpointError
from detector.heat import Detector, Rejecting, sides
from detector.rejection.hub import load_segmenter, read_segmenter, rejector
from detector.rejection.names import SCORES
from shards.errors import ConfigError, MissingInputError


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_folder_is_the_network_it_was_written_from(segmenter_folder):
    tensors, card = read_segmenter(segmenter_folder)
    assert card.classes == ("ground", "wheel", "eye")
    assert card.model["network"]["options"].items() >= tiny_network.OPTIONS.items()
    own = tiny_network.segmenter().state_dict()
    assert tensors.keys() == own.keys()
    assert all(torch.equal(tensors[name], own[name]) for name in own)


def test_a_folder_in_half_precision(tmp_path):
    from detector.rejection.folder import write_folder

    write_folder(tmp_path / "half", tiny_network.segmenter_card(), tiny_network.segmenter().state_dict(), half=True)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    tensors, _ = read_segmenter(tmp_path / "half")
    for name, tensor in tiny_network.segmenter().state_dict().items():
        torch.testing.assert_close(tensors[name], tensor.half().float(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "spine"), [("mask2former", "resnet"), ("maskformer", "resnet"), ("maskformer", "swin")]
)
def test_other_networks(tmp_path, kind, spine):
    """As transformers itself reads the folder, it says the same; only queries and the class head would learn."""
    from transformers import AutoModelForUniversalSegmentation

    built = tiny_network.network(kind, spine)
    folder = tiny_network.folder(tmp_path / "tiny", built=built)
    model, card = load_segmenter(folder, "msr")
    network = {"mask2former": AutoModelForUniversalSegmentation, "maskformer": MaskFormerForInstanceSegmentation}
    theirs = network[kind].from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        masks, classes = model.extract_feat(pixels)
        found = theirs(pixel_values=pixels)
    torch.testing.assert_close(masks, found.masks_queries_logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(classes, found.class_queries_logits, rtol=0, atol=1e-4)
    assert card_from_json(card.to_json(), "file").model == card.model
    learning = {name.rpartition("network.")[2] for name, one in model.named_parameters() if one.requires_grad}
    assert {name.split(".")[-2] for name in learning} >= {"queries_embedder", "class_predictor"}
    assert sum("quer" in name or "class_predictor" in name for name in learning) == len(learning)


def test_heat_is_the_score(segmenter_folder):
    """1 - max_q M_q max_c P_q(c), of the network's own outputs; the picture has the detector's size."""
    picture = image(32, 32)
    heat = Detector(segmenter_folder, rejects=Rejecting("msr"), device="cpu").heat([picture])[0]
    network = tiny_network.segmenter().network
    pixels = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 120) / 60
    with torch.no_grad():
        found = network(pixel_values=pixels)
    masks = torch.nn.functional.interpolate(found.masks_queries_logits, (32, 32), mode="bilinear").sigmoid()
    sure = found.class_queries_logits.softmax(-1)[..., :-1].amax(-1)
    expected = 1 - (masks * sure[..., None, None]).amax(1)[0]
    assert heat.std() > 0.001
    np.testing.assert_allclose(heat, expected.numpy(), atol=1e-5)


def test_a_rejector_as_a_file(segmenter_folder, tmp_path):
    """Written with its card and loaded again, it sees the same."""
    score = "rba"
    model, card = load_segmenter(segmenter_folder, score, (0, 2))
    save_weights(tmp_path / "msr.safetensors", model, card)
    again, told = load_detector(tmp_path / "msr.safetensors")
    assert told.model["type"] == "MaskRejector"
    assert (again.score, again.valid) == (score, [0, 2])
    picture = image(32, 32)
    first = Detector(segmenter_folder, rejects=Rejecting(score, (0, 2)), device="cpu").heat([picture])[0]
    second = Detector(tmp_path / "msr.safetensors", device="cpu").heat([picture])[0]
    assert np.array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_rejector_that_drops_outlines(segmenter_folder, tmp_path):
    """The opened score, and the card keeps the radius."""
    picture = image(32, 32)
    plain = Detector(segmenter_folder, rejects=Rejecting("msr"), device="cpu").heat([picture])[0]
    without = Detector(segmenter_folder, rejects=Rejecting("msr", boundary=2), device="cpu").heat([picture])[0]
    np.testing.assert_allclose(without, ndimage.grey_opening(plain, (5, 5)), atol=1e-6)
    assert (without < plain - 1e-3).any()
    model, card = load_segmenter(segmenter_folder, "msr", boundary=2)
    save_weights(tmp_path / "msr.safetensors", model, card)
    again = Detector(tmp_path / "msr.safetensors", device="cpu").heat([picture])[0]
    assert np.array_equal(again, without)
    with pytest.raises(ConfigError, match=r"boundary must be a whole number in 0\.\.64"):
        load_segmenter(segmenter_folder, "msr", boundary=65)
    with pytest.raises(ConfigError, match="boundary is 1; a network that classifies each pixel has 0"):
        load_segmenter("detector/weights/swin_mini.safetensors", "pixel", boundary=1)


def test_all_scores_take_one_forward_pass(segmenter_folder):
    model, _ = load_segmenter(segmenter_folder, "msr")
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        found = model.look(torch.zeros(2, 3, 32, 32), SCORES)
    assert list(found) == list(SCORES)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((64, 64), (32, 32)), ((60, 90), (32, 48)), ((90, 60), (48, 32)), ((1, 1), (32, 32)), ((10000, 30), (128, 32))],
)
def test_sides_of_pictures_that_keep_their_ratio(shape, expected):
    assert sides(shape, 32, True) == expected
    assert sides(shape, 32, False) == (32, 32)


def test_pictures_of_many_sizes_together(tmp_path):
    """One group of sizes after the other; each heat belongs to its picture."""
    detector = Detector(tiny_network.folder(tmp_path / "wide", keep_ratio=True), rejects=Rejecting(), device="cpu")
    shapes = [(40, 60), (1, 1), (40, 60), (10_000, 30)]
    pictures = [image(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    together = detector.heat(pictures)
    for one, picture in zip(together, pictures, strict=True):
        assert one.shape == picture.shape[:2]
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, detector.heat([picture])[0], atol=1e-5)


def test_predict_from_the_command_line(segmenter_folder, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for seed in range(3):
        Image.fromarray(image(32, 32, seed)).save(tmp_path / "in" / f"{seed}.png")
    words = ["predict", "--segmenter", str(segmenter_folder), "--score", "entropy", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "3 pictures" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "heat").glob("*.png"))) == 3
    # The same command goes on; another score is another prediction.
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert main([*words, "--score", "msr", "--out", str(tmp_path / "out")]) == 2
    assert "score" in capsys.readouterr().err


def changed(folder, tmp_path, **values):
    """A copy of a folder with other values in its config."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **values}))
    return copy


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model_type": "upernet"}, "to have queries"),
        ({"num_queries": 10**9}, "num_queries"),
        ({"num_queries": 7}, "another architecture"),
        ({"hidden_dim": 64, "feature_size": 64}, "another architecture"),
        ({"id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}}, "no 'no object'"),
        ({"id2label": {"0": "a"}}, "4 rows"),
        ({"backbone_config": {"model_type": "timm_backbone"}}, "timm_backbone"),
        ({"num_attention_heads": 5}, "cannot be"),
    ],
)
def test_folders_that_do_not_fit(segmenter_folder, tmp_path, values, told):
    with pytest.raises(CheckpointError, match=told) as error:
        read_segmenter(changed(segmenter_folder, tmp_path, **values))
    assert "\n" not in str(error.value)


def test_damaged_weights(segmenter_folder, tmp_path):
    copy = changed(segmenter_folder, tmp_path)
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError):
        read_segmenter(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(MissingInputError):
        read_segmenter(copy)


def test_weights_that_are_not_finite(segmenter_folder, tmp_path):
    copy = changed(segmenter_folder, tmp_path)
    tensors = load_file(copy / "model.safetensors")
    tensors["class_predictor.bias"][0] = float("nan")
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="no finite numbers"):
        load_segmenter(copy, "msr")


def test_nothing_there(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        load_segmenter(tmp_path / "none", "msr")
    with pytest.raises(MissingInputError, match="hf download nobody/nothing"):
        load_segmenter("nobody/nothing", "msr")


def test_scores_and_classes_that_it_does_not_have():
    card = tiny_network.segmenter_card()
    with pytest.raises(ConfigError, match="allowed: msr"):
        rejector(card, "surprise")
    with pytest.raises(ConfigError, match="class 3"):
        rejector(card, "msr", (3,))
    with pytest.raises(ConfigError, match="detector already"):
        rejector(rejector(card, "msr"), "msr")


def test_a_card_takes_nothing_but_numbers():
    card = rejector(tiny_network.segmenter_card(), "msr")
    told = json.loads(card.to_json())
    assert card_from_json(card.to_json(), "file").model == card.model
    for place, value in [
        ("score", "os.system"),
        ("valid_classes", [7]),
        ("network", {**told["model"]["network"], "model_type": "auto"}),
        ("network", {**told["model"]["network"], "options": {"num_queries": 10**7}}),
        ("init_cfg", {"checkpoint": "http://somewhere"}),
    ]:
        with pytest.raises(CheckpointError):
            card_from_json(json.dumps({**told, "model": {**told["model"], place: value}}), "file")


def test_a_network_that_classifies_pixels():
    """UPerNet on scenes as it is shipped: 1 - max softmax of its 21 classes."""
    picture = image(64, 64)
    source = "detector/weights/swin_mini.safetensors"
    model, card = load_segmenter(source, "pixel")
    assert card.model["type"] == "PixelRejector"
    heat = Detector(source, rejects=Rejecting("pixel"), device="cpu").heat([picture])[0]
    from detector.checkpoint import build_model
    from detector.tensors import read_tensors

    tensors, told = read_tensors(source)
    assert isinstance(told, Card)
    plain = build_model(told)
    plain.load_state_dict(tensors, strict=False)
    norm = plain.data_preprocessor
    pixels = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - norm.mean) / norm.std
    with torch.no_grad():
        logits = plain.encode_decode(pixels, [{"ori_shape": (64, 64), "img_shape": (64, 64), "pad_shape": (64, 64)}])
    np.testing.assert_allclose(heat, 1 - logits.softmax(1).amax(1)[0].numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match="does not learn"):
        model.loss(pixels, None)
