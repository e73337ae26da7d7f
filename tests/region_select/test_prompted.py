"""Regions by phrases: transformers' own classes at tiny size, boxes to masks, pictures in which nothing is found."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_finders

from detector.errors import CheckpointError
from detector.phrases import Found, box_masks, open_finder
from region_select.policy import check_policy, open_policy
from region_select.prompted import PromptedOptions
from shards.errors import ConfigError, MissingInputError
from shards.source import SourceItem

PHRASES = ("a face", "a hand", "text")
MAKERS = {
    "owlv2": tiny_finders.owlv2,
    "grounding-dino": tiny_finders.grounding_dino,
    "clipseg": tiny_finders.clipseg,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("finders")
    return {name: make(base / name) for name, make in [*MAKERS.items(), ("sam", tiny_finders.sam)]}


def picture(height=48, width=64):
    return np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)


def item(image):
    return SourceItem(image=image, uri="x", sha256="0" * 64, caption="", set_name="t")


def above(found):
    """Half-way from the highest score to 1."""
    return (1 + max(one.score for one in found)) / 2


@pytest.mark.parametrize("kind", MAKERS)
def test_each_model_finds_something_and_nothing(folders, kind):
    image = picture()
    found = open_finder(str(folders[kind]), PHRASES, 1e-4, device="cpu")(image)
    assert found
    assert all(one.mask.shape == (48, 64) and one.mask.dtype == bool and one.mask.any() for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 < one.score <= 1 for one in found)
    again = open_finder(str(folders[kind]), PHRASES, 1e-4, device="cpu")(image)
    assert [one.score for one in again] == [one.score for one in found]
    assert open_finder(str(folders[kind]), PHRASES, above(found), device="cpu")(image) == []


def test_phrases_are_told_apart(folders):
    """One phrase of CLIPSeg or three: the map of the first is the same."""
    image = picture()
    one = open_finder(str(folders["clipseg"]), PHRASES[:1], 1e-4, device="cpu")(image)
    three = open_finder(str(folders["clipseg"]), PHRASES, 1e-4, device="cpu")(image)
    assert {found.phrase for found in three} == set(PHRASES)
    same = next(found for found in three if found.phrase == PHRASES[0])
    assert same.score == pytest.approx(one[0].score, abs=1e-5)
    owl = open_finder(str(folders["owlv2"]), PHRASES, 1e-4, device="cpu")(image)
    assert {found.phrase for found in owl} <= set(PHRASES)


def test_boxes_become_whole_pixels_within_the_picture():
    image = np.zeros((4, 6, 3), np.uint8)
    inside, beyond = box_masks(image, [(1.2, 0.0, 2.5, 1.1), (-3.0, 2.5, 9.0, 9.0)])
    assert np.argwhere(inside).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert beyond[2:].all()
    assert not beyond[:2].any()


def test_sam_cuts_boxes_down(folders):
    image = picture()
    boxes = open_finder(str(folders["owlv2"]), PHRASES, 1e-4, device="cpu")(image)
    cut = open_finder(str(folders["owlv2"]), PHRASES, 1e-4, masks=str(folders["sam"]), device="cpu")(image)
    assert cut
    assert all(one.mask.shape == (48, 64) for one in cut)
    assert any(not np.array_equal(one.mask, other.mask) for one, other in zip(cut, boxes, strict=False))


def policy_of(folders, **options):
    told = {"model": str(folders["owlv2"]), "phrases": list(PHRASES), "device": "cpu", **options}
    return open_policy("prompted", told)


def test_a_picture_in_which_nothing_is_found_has_no_region(folders):
    least = above(open_finder(str(folders["owlv2"]), PHRASES, 1e-4, device="cpu")(picture()))
    policy = policy_of(folders, least=least)
    found = policy.select([item(picture())], [np.random.default_rng(0)])[0]
    assert found.mask is None
    assert found.detail == f"none of 3 phrases was found at {least:g}"


def test_regions_come_from_what_was_found(folders):
    policy = policy_of(folders, least=1e-4)
    finds = [
        Found("a face", 0.9, np.pad(np.ones((10, 10), bool), ((0, 38), (0, 54)))),
        Found("text", 0.5, np.pad(np.ones((10, 10), bool), ((38, 0), (54, 0)))),
        Found("a hand", 0.4, np.ones((48, 64), bool)),
    ]
    seen = {tuple(policy.choose(finds, np.random.default_rng(seed)).facts["phrases"]) for seed in range(40)}
    assert seen == {("a face",), ("text",), ("a face", "text")}, "the hand is larger than max_area"
    mask = next(
        one.mask
        for one in (policy.choose(finds, np.random.default_rng(seed)) for seed in range(40))
        if one.facts["phrases"] == ["text"]
    )
    assert mask is not None
    assert mask[37:, 53:].all()
    assert mask.sum() == 11 * 11, "grown by a pixel"
    assert policy.choose(finds[2:], np.random.default_rng(0)).detail == "none of 1 finds fits the limits"
    assert len(policy.digest()) == 64


def test_what_is_not_there_or_is_none(folders, tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        open_policy("prompted", {"model": str(tmp_path / "none")})
    with pytest.raises(CheckpointError, match="known are owlvit, owlv2, grounding-dino, clipseg"):
        open_finder(str(folders["sam"]), PHRASES, 0.1)
    with pytest.raises(CheckpointError, match="is no SAM"):
        open_finder(str(folders["owlv2"]), PHRASES, 0.1, masks=str(folders["clipseg"]))
    for wrong, said in (({"phrases": []}, "phrases"), ({"least": 0.0}, "least"), ({"phrases": [" "]}, "empty")):
        with pytest.raises(ConfigError, match=said):
            check_policy("prompted", wrong)
    assert PromptedOptions().phrases[0] == "face"
