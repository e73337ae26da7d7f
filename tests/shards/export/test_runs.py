"""Regions as runs, against scipy's components and against masks by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.export import runs
from shards.export.runs import Region, regions_of_each
from shards.masks import label_components


def painted(region: Region, shape: tuple[int, int], down: bool) -> np.ndarray[Any, Any]:
    """bool HW of a region, by its lengths; its runs must say the same."""
    lines = np.zeros(shape[::-1] if down else shape, bool)
    for line, begin, end in zip(region.line, region.begin, region.end, strict=True):
        lines[line, begin:end] = True
    by_lengths = np.repeat(np.arange(len(region.lengths)) % 2 == 1, region.lengths)
    np.testing.assert_array_equal(lines.ravel(), by_lengths)
    assert all(region.lengths[1:])
    return lines.T if down else lines


@pytest.mark.parametrize("by_hand", [0, 1 << 15])
@settings(deadline=None, max_examples=100)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans())
def test_regions_are_scipys(by_hand: int, height: int, width: int, seed: int, share: float, down: bool):
    rng = np.random.default_rng(seed)
    masks = [np.where(rng.random((height, width)) < share, 1, 255).astype(np.uint8) for _ in range(3)]
    masks.append(np.ones((2, 5), np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BY_HAND", by_hand)
        found = regions_of_each(masks, 1, down)
    assert len(found) == len(masks)
    for mask, regions in zip(masks, found, strict=True):
        labels, count = label_components(mask)
        assert len(regions) == count
        for number, region in enumerate(regions, 1):
            np.testing.assert_array_equal(painted(region, mask.shape, down), labels == number)
            assert region.area == (labels == number).sum()
            lines, places = np.nonzero((labels.T if down else labels) == number)
            first, least = lines.min(), places.min()
            assert region.box == (first, least, lines.max() + 1 - first, places.max() + 1 - least)
    for mask, regions in zip(masks, regions_of_each(masks, 255, down, joined=False), strict=True):
        assert len(regions) == (mask == 255).any()
        for region in regions:
            np.testing.assert_array_equal(painted(region, mask.shape, down), mask == 255)


def test_lengths_by_hand():
    mask = np.zeros((3, 4), np.uint8)
    mask[:, 1:3] = 1
    mask[2, 3] = 1
    (region,) = regions_of_each([mask], 1, down=True)[0]
    assert region.lengths == [3, 6, 2, 1], "columns that are full are one run"
    assert regions_of_each([mask], 1, down=False)[0][0].lengths == [1, 2, 2, 2, 2, 3]
    assert regions_of_each([np.ones((2, 2), np.uint8)], 1, down=True)[0][0].lengths == [0, 4]


def test_masks_are_looked_at_together_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "MOST_PIXELS", 30)
    small, large = np.ones((2, 5), np.uint8), np.ones((7, 7), np.uint8)
    masks = [small, small, small, small, large, large, small]
    assert [len(group) for group in runs.alike(masks)] == [3, 1, 1, 1, 1]
    assert [len(found) for found in regions_of_each(masks, 1, down=False)] == [1] * 7
