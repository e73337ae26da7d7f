"""Regions by what a segmenter rejects, or by the classes that break; hottest pixels as regions."""

from __future__ import annotations

import numpy as np
import pytest

from miniworld.source import MiniworldSource
from region_select.hottest import HottestOptions, hottest_region
from region_select.limits import Limits
from region_select.opinion import open_classes
from region_select.policy import check_policy, open_policy
from shards.errors import ConfigError, MissingInputError

SEGMENTER = "detector/weights/swin_mini.safetensors"
LETTERS, PLATES = "12", "11"


@pytest.fixture(scope="module")
def scenes():
    source = MiniworldSource(count=24)
    found = [source[index] for index in range(24)]
    return [item for item in found if any(region.name == "sign.letter" for region in item.regions)]


def test_the_hottest_share_above_a_least_heat():
    heat = np.zeros((10, 10), np.float32)
    heat[2:4, 2:7] = 0.5  # ten pixels
    heat[8, 8] = 0.9
    free = Limits()
    ten = hottest_region(heat, HottestOptions(area=0.1, limits=free)).mask
    assert ten is not None
    assert (int(ten.sum()), int(ten[8, 8]), int(ten[2:4, 2:7].sum())) == (10, 1, 9)
    few = hottest_region(heat, HottestOptions(area=0.5, least=0.6, limits=free)).mask
    assert few is not None
    assert np.argwhere(few).tolist() == [[8, 8]]
    none = hottest_region(heat, HottestOptions(area=0.5, least=0.95, limits=free))
    assert (none.mask, none.detail) == (None, "no heat above 0.95 (highest 0.9)")
    flat = hottest_region(np.zeros((10, 10), np.float32), HottestOptions())
    assert flat.mask is None
    small = hottest_region(heat, HottestOptions(area=0.01, limits=Limits(min_area=0.05)))
    assert "min_area" in small.detail


def test_classes_are_found_where_they_are(scenes):
    look = open_classes(SEGMENTER, [LETTERS, PLATES], device="cpu")
    assert len(scenes) > 3
    for item, heat in zip(scenes, look([item.image for item in scenes]), strict=True):
        sign = next(region.mask for region in item.regions if region.name.startswith("sign-")) == 1
        assert heat.shape == sign.shape
        assert heat[sign].mean() > 3 * heat[~sign].mean()


def test_the_first_class_counts_most(scenes):
    first, second = (open_classes(SEGMENTER, names, device="cpu") for names in ((LETTERS, PLATES), (PLATES, LETTERS)))
    item = scenes[0]
    letters = next(region.mask for region in item.regions if region.name == "sign.letter") == 1
    assert first([item.image])[0][letters].mean() > second([item.image])[0][letters].mean()


def test_a_region_in_every_picture_and_the_same_for_variants(scenes):
    policy = open_policy("rejected", {"segmenter": SEGMENTER, "score": "max_prob", "device": "cpu"})
    rngs = [np.random.default_rng(seed) for seed in range(2 * len(scenes))]
    found = policy.select([*scenes, *scenes], rngs)
    masks = [one.mask for one in found]
    assert sum(mask is not None for mask in masks) > len(scenes)
    for one, other in zip(masks[: len(scenes)], masks[len(scenes) :], strict=True):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)
    alone = policy.select(scenes[:1], rngs[:1])[0].mask
    assert np.array_equal(alone, masks[0])
    assert len(policy.digest()) == 64


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"segmenter": ""}, ConfigError, "segmenter is empty"),
        ({"segmenter": "none.safetensors"}, MissingInputError, "does not exist"),
        ({"segmenter": SEGMENTER, "classes": ["hand"]}, ConfigError, "no class 'hand'"),
        ({"segmenter": SEGMENTER, "score": "msr"}, ConfigError, "allowed: "),
        ({"segmenter": SEGMENTER, "region": {"area": 0.0}}, ConfigError, "area above 0 to 1"),
    ],
)
def test_what_is_wrong_is_one_line(options, error, said):
    with pytest.raises(error, match=said):
        open_policy("rejected", options)
    if error is ConfigError and "classes" not in options and options.get("score") is None:
        with pytest.raises(ConfigError):
            check_policy("rejected", options)
