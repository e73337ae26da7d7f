"""Masks of every policy, by their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from region_select.blobs import BlobsOptions, blob
from region_select.limits import Limits, apply_limits
from region_select.policy import POLICIES, Policy, Selection, open_policy, register_policy
from shards.errors import ConfigError
from shards.masks import label_components
from shards.source import Region, SourceItem


def mask_of(*rows: str) -> np.ndarray[Any, Any]:
    """A mask drawn in text: '.' 0, '#' 1, '?' 255."""
    values = {".": 0, "#": 1, "?": 255}
    return np.array([[values[mark] for mark in row] for row in rows], np.uint8)


def item_of(side: int = 32, **fields: Any) -> SourceItem:
    return SourceItem(np.zeros((side, side, 3), np.uint8), "a.png", "00", **fields)


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def square(side: int, top: int, left: int, size: int) -> np.ndarray[Any, Any]:
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


def test_limits_keep_the_largest_components():
    mask = mask_of(
        "##..#",
        "##...",
        ".....",
        "###..",
    )
    kept, _ = apply_limits(mask, Limits(max_components=1))
    assert np.array_equal(kept, mask_of("##...", "##...", ".....", "....."))
    kept, _ = apply_limits(mask, Limits(min_component_area=0.15))
    assert np.array_equal(kept, mask_of("##...", "##...", ".....", "###.."))


def test_limits_take_what_fits_below_the_largest_area():
    mask = mask_of("####", "....", "##..", "....")
    kept, _ = apply_limits(mask, Limits(max_area=3 / 16))
    assert np.array_equal(kept, mask_of("....", "....", "##..", "...."))


def test_limits_say_why_nothing_is_left():
    mask = mask_of("#...", "....", "....", "....")
    assert apply_limits(mask, Limits(min_area=2 / 16)) == (None, "1 of 16 pixels; min_area is 0.125")
    assert apply_limits(np.zeros((4, 4), np.uint8), Limits()) == (None, "the mask is empty")
    nothing, why = apply_limits(np.ones((4, 4), np.uint8), Limits(max_area=0.5))
    assert nothing is None
    assert "largest 16 of 16 pixels" in why


def test_dilation_grows_by_squares_and_spares_ignored_pixels():
    mask = mask_of(".....", ".....", "..#?.", ".....", ".....")
    kept, _ = apply_limits(mask, Limits(dilation=1))
    assert np.array_equal(kept, mask_of(".....", ".###.", ".##?.", ".###.", "....."))


def test_limits_leave_the_given_mask_alone():
    mask = mask_of("##..", "....", "...#", "....")
    before = mask.copy()
    apply_limits(mask, Limits(max_components=1, dilation=1))
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("options", [{"dilation": -1}, {"min_area": 0.5, "max_area": 0.1}, {"max_area": 1.5}])
def test_limits_that_cannot_be_met_are_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match="got"):
        Limits(**options)


@pytest.mark.parametrize("area", [0.001, 0.03, 0.4])
def test_a_blob_has_exactly_its_area_and_holds_together(area: float):
    for seed in range(20):
        mask = blob(48, 64, area, BlobsOptions(), rng_of(seed))
        assert mask.sum() == max(1, round(area * 48 * 64))
        labels, count = label_components(mask)
        assert np.bincount(labels.ravel())[1:].max() >= 0.97 * mask.sum()
        assert count <= 3


def test_blob_areas_follow_the_stated_distribution():
    policy = open_policy("blobs", {"area": [0.01, 0.16], "max_blobs": 1})
    rngs = [rng_of(seed) for seed in range(600)]
    found = policy.select([item_of(64)] * 600, rngs)
    areas = np.array([selection.mask.mean() for selection in found])
    assert areas.min() >= 0.0095
    assert areas.max() <= 0.1605
    # Log-uniform: the median is the geometric mean of the ends, the quartiles a quarter of the way from them.
    for share, expected in ((0.25, 0.02), (0.5, 0.04), (0.75, 0.08)):
        assert abs(np.log2(np.quantile(areas, share) / expected)) < 0.35


def test_blobs_are_smooth():
    """The outline of a blob is short: far fewer edge pixels than a scattered mask of the same area has."""
    mask = blob(64, 64, 0.1, BlobsOptions(max_stretch=1.0), rng_of(3)).astype(int)
    edges = np.abs(np.diff(mask, axis=0)).sum() + np.abs(np.diff(mask, axis=1)).sum()
    assert edges < 2.2 * 4 * np.sqrt(mask.sum())


def test_files_policy_takes_the_pictures_own_mask():
    mask = square(32, 4, 4, 8)
    mask[0] = 255
    found = open_policy("files", {"limits": {"min_area": 0.01}}).select([item_of(mask=mask)], [rng_of()])
    assert np.array_equal(found[0].mask, mask)
    nothing = open_policy("files").select([item_of(mask=np.zeros((32, 32), np.uint8))], [rng_of()])
    assert nothing[0].mask is None


def test_files_policy_without_masks_says_what_to_do():
    with pytest.raises(ConfigError, match=r"source\.options\.masks"):
        open_policy("files").select([item_of()], [rng_of()])


REGIONS = (
    Region("face-0", square(32, 2, 2, 12)),
    Region("face.eye", square(32, 4, 4, 3), "face-0"),
    Region("face.hair", square(32, 2, 2, 1), "face-0"),
    Region("car-1", square(32, 18, 18, 10)),
    Region("car.wheel", square(32, 24, 20, 4), "car-1"),
)


def test_scene_policy_tells_parts_from_objects():
    item, seen = item_of(regions=REGIONS), {"objects": set(), "parts": set()}
    for level, names in seen.items():
        policy = open_policy("scene", {"level": level})
        for seed in range(40):
            names.update(policy.select([item], [rng_of(seed)])[0].facts["regions"])
    assert seen == {"objects": {"face-0", "car-1"}, "parts": {"face.eye", "face.hair", "car.wheel"}}


def test_scene_policy_chooses_among_regions_within_the_limits():
    policy = open_policy("scene", {"limits": {"min_area": 0.005}, "max_regions": 5})
    for seed in range(20):
        selection = policy.select([item_of(regions=REGIONS)], [rng_of(seed)])[0]
        assert set(selection.facts["regions"]) <= {"face.eye", "car.wheel"}
        expected = sum(r.mask for r in REGIONS if r.name in selection.facts["regions"])
        assert np.array_equal(selection.mask, expected)


def test_scene_policy_by_name_and_without_a_match():
    policy = open_policy("scene", {"names": ["hand."]})
    selection = policy.select([item_of(regions=REGIONS)], [rng_of()])[0]
    assert selection.mask is None
    assert "none of 0 parts" in selection.detail


def test_mix_draws_by_weight_and_falls_back():
    parts = [{"policy": "scene", "weight": 3.0}, {"policy": "blobs", "weight": 1.0}]
    policy = open_policy("mix", {"parts": parts})
    items = [item_of(regions=REGIONS)] * 200
    found = policy.select(items, [rng_of(seed) for seed in range(200)])
    share = np.mean([selection.facts["policy"] == "scene" for selection in found])
    assert 0.65 < share < 0.85
    bare = policy.select([item_of()] * 20, [rng_of(seed) for seed in range(20)])
    assert all(selection.facts["policy"] == "blobs" for selection in bare)
    strict = open_policy("mix", {"parts": parts, "fallback": False})
    empty = {s.mask is None for s in strict.select([item_of()] * 20, [rng_of(seed) for seed in range(20)])}
    assert empty == {True, False}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scene", {"max_regions": 3}),
        ("blobs", {}),
        ("mix", {"parts": [{"policy": "scene"}, {"policy": "blobs"}]}),
    ],
)
def test_a_mask_depends_on_its_picture_and_generator_alone(name: str, options: dict[str, Any]):
    policy = open_policy(name, options)
    items = [item_of(regions=REGIONS), item_of(), item_of(regions=REGIONS[:2])] * 4
    together = policy.select(items, [rng_of(seed) for seed in range(12)])
    backwards = policy.select(items[::-1], [rng_of(seed) for seed in range(12)][::-1])[::-1]
    alone = [policy.select([item], [rng_of(seed)])[0] for seed, item in enumerate(items)]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert (one.mask is None) == (two.mask is None) == (three.mask is None)
        if one.mask is not None:
            assert np.array_equal(one.mask, two.mask)
            assert np.array_equal(one.mask, three.mask)
        assert one.facts == two.facts == three.facts


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("blob", {}, "did you mean 'blobs'"),
        ("blobs", {"areas": [0.1, 0.2]}, "did you mean 'area'"),
        ("blobs", {"area": [0.5, 0.2]}, "0 < low <= high"),
        ("scene", {"level": "part"}, "did you mean 'parts'"),
        ("mix", {"parts": []}, "one or more parts"),
        ("mix", {"parts": [{"policy": "files", "options": {"limit": {}}}]}, "did you mean 'limits'"),
    ],
)
def test_mistakes_in_the_config_name_the_way_out(name: str, options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        open_policy(name, options)


class Everything(Policy):
    """A policy from outside, as a learned one will be."""

    Options = Limits

    def select(self, items, rngs):
        return [Selection(np.ones(item.image.shape[:2], np.uint8)) for item in items]


def test_a_policy_from_outside_plugs_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("region_select.policy.POLICIES", dict(POLICIES))
    register_policy("everything", f"{__name__}:Everything")
    assert open_policy("everything").select([item_of()], [rng_of()])[0].mask.all()
