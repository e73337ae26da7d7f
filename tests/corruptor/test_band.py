"""The band: a region must look different to a network, and not too different."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Dinov2Backbone, Dinov2Config

from corruptor.band_config import BandConfig
from corruptor.config import CorruptionConfig, VerificationConfig
from corruptor.finish import distances_of
from corruptor.verify import verify
from detector.errors import CheckpointError
from detector.features import distance, open_distance
from shards.build import build, plain
from shards.errors import MissingInputError

SEGMENTER = "detector/weights/swin_mini.safetensors"


def three_components():
    """All changed alike; their distances are 0.1, 0.4 and 0.8."""
    twin = np.full((16, 16, 3), 50, np.uint8)
    mask, apart = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.float32)
    for row, far in ((1, 0.1), (6, 0.4), (11, 0.8)):
        mask[row : row + 4, 2:6] = 1
        apart[row : row + 4, 2:4], apart[row : row + 4, 4:6] = far - 0.1, far + 0.1
    return np.where(mask[..., None] == 1, np.uint8(150), twin), twin, mask, apart


def test_only_what_lies_in_the_band_passes():
    picture, twin, mask, apart = three_components()
    band = VerificationConfig(band=BandConfig(SEGMENTER, low=0.2, high=0.6))
    label, found = verify(picture, twin, mask, 4, band, distance_HW=apart)
    assert [one.passed for one in found.components] == [False, True, False]
    assert [one.distance for one in found.components] == pytest.approx([0.1, 0.4, 0.8])
    assert np.argwhere(label == 1)[:, 0].min() == 6
    assert np.argwhere(label == 1)[:, 0].max() == 9
    unchanged = verify(twin, twin, mask, 4, band, distance_HW=apart)[1]
    assert not any(one.passed for one in unchanged.components), "a distance without a change is no damage either"


def test_distance_is_one_minus_cosine_at_each_place():
    first = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])  # two places, features (1, 0)
    second = torch.tensor([[[[2.0, 0.0]], [[0.0, 3.0]]]])  # (2, 0) and (0, 3)
    np.testing.assert_allclose(distance([first], [second], (1, 2)), [[0.0, 1.0]], atol=1e-6)
    opposite = distance([first, first], [second, -first], (1, 2))
    np.testing.assert_allclose(opposite, [[1.0, 1.5]], atol=1e-6)
    assert distance([torch.zeros_like(first)], [torch.zeros_like(first)], (1, 2)).tolist() == [[0.0, 0.0]]


def test_a_segmenter_sees_where_pictures_differ():
    look = open_distance(SEGMENTER, device="cpu")
    twin = np.full((64, 64, 3), 120, np.uint8)
    picture = twin.copy()
    picture[8:24, 8:24] = np.random.default_rng(0).integers(0, 255, (16, 16, 3))
    found, same = look([picture, twin], [twin, twin])
    assert found.shape == (64, 64)
    assert found.dtype == np.float32
    assert found[8:24, 8:24].mean() > 2 * found[40:, 40:].mean()
    assert not same.any()


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino") / "tiny"
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=7, image_size=28, out_indices=[1, 2]
    )
    Dinov2Backbone(config).save_pretrained(folder)
    return folder


def test_a_vision_backbone_of_transformers(dino):
    look = open_distance(str(dino), device="cpu")
    twin = np.random.default_rng(1).integers(0, 255, (30, 45, 3), dtype=np.uint8)
    picture = twin.copy()
    picture[:10, :10] = 0
    found, same = look([picture, twin], [twin, twin])
    assert found.shape == (30, 45)
    assert found[:8, :8].mean() > found[20:, 30:].mean()
    assert not same.any()


def test_what_is_not_there_or_is_none(tmp_path, dino):
    with pytest.raises(MissingInputError, match="does not exist"):
        open_distance("nowhere.safetensors")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no feature maps"):
        open_distance(str(tmp_path))


def test_nobody_to_tell_is_said():
    config = CorruptionConfig(verification=VerificationConfig(band=BandConfig(SEGMENTER)))
    pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    masks = torch.ones(1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="no network was given"):
        distances_of(pictures, pictures, masks, config, None)
    assert distances_of(pictures, pictures, torch.zeros_like(masks), config, lambda a, b: []) == [None]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"features": ""}, "features is empty"),
        ({"features": "a", "low": 0.5, "high": 0.4}, "low is 0.5, above high, 0.4"),
        ({"features": "a", "high": 3.0}, "high is 3.0; allowed are 0 to 2"),
        ({}, "missing key"),
    ],
)
def test_wrong_values(values, said):
    with pytest.raises(ValueError, match=said):
        build(VerificationConfig, {"band": values})
    assert "band" not in plain(VerificationConfig())
