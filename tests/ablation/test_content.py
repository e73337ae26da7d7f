"""What pictures show against whether they are broken, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.content import content_alone, contents_of, matched_auroc
from miniworld.world.scenes import content_of


def test_content_is_what_the_caption_names():
    caption = (
        "red sign with CAFE at top, calm face with tan skin and bun red hair at middle, blue sign with STOP at left"
    )
    assert content_of(caption) == "face sign sign"
    assert content_of("black sign with BUS at top, pink sky, navy ground") == "sign"  # a word on it is no thing
    assert content_of("blue sky, sand ground") == content_of("carpet, business, facets") == ""


def test_auroc_among_pictures_of_the_same_content_by_hand():
    # Signs: broken .9 and .4, whole .5: one pair of two. Faces: broken .2, whole .2: half a pair of one. Cars: no pair.
    content = ["sign", "sign", "sign", "face", "face", "car"]
    score = np.array([0.9, 0.4, 0.5, 0.2, 0.2, 0.8])
    broken = np.array([True, True, False, True, False, True])
    once, no_signs, no_pairs = np.ones(6), np.array([0.0, 0, 0, 2, 3, 1]), np.array([1.0, 1, 0, 1, 0, 1])
    first_sign_twice = np.array([2.0, 1, 1, 0, 0, 0])
    found = matched_auroc(np.stack([once, no_signs, no_pairs, first_sign_twice]), score, broken, content)
    np.testing.assert_allclose(found, [1.5 / 3, 0.5, np.nan, 2 / 3])
    one_content = matched_auroc(np.ones((1, 6)), score, broken, ["x"] * 6)
    assert one_content[0] == pytest.approx((2 + 1 + 0.5 + 2) / 8)  # the plain AUROC


def test_auroc_of_the_content_alone_by_hand():
    learned = {"a": ("sign", True), "b": ("sign", True), "c": ("face", True), "d": ("face", False), "e": ("car", False)}
    told = {"k": ("sign", True), "l": ("face", False), "m": ("car", True), "n": ("hand", True)}  # 1, 1/2, 0, 3/5
    assert content_alone(learned, told) == pytest.approx(2 / 3)


def test_contents_of_sets_of_this_world():
    found = contents_of("miniworld/sets/v1/validation")
    assert found is not None
    assert len(found) == 200
    broken = {content: [b for c, b in found.values() if c == content] for content, _ in found.values()}
    assert np.mean(broken["sign"]) > 0.9  # signs are nearly always broken
