"""Masks to crops and back, on cases solved by hand."""

from __future__ import annotations

import numpy as np
import pytest

from applications.repair.crops import Region, feather, find_regions, model_shape, radius_of, resized, resized_mask


def weight(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """1 in these boxes (top, left, bottom, right)."""
    found = np.zeros((height, width), np.float32)
    for top, left, bottom, right in boxes:
        found[top:bottom, left:right] = 1
    return found


def test_the_released_dilation_at_512_and_in_proportion():
    assert [radius_of(10, 512, 512), radius_of(10, 1024, 2000), radius_of(10, 64, 64), radius_of(0, 512, 512)] == [
        10,
        20,
        1,
        0,
    ]


def test_feather_falls_from_the_mask_to_the_end_of_the_dilation():
    mask = np.zeros((5, 7), bool)
    mask[2, 3] = True
    found = feather(mask, 2)
    third = np.float32(1 / 3)
    assert np.allclose(found[2], [0, third, 2 * third, 1, 2 * third, third, 0])
    assert np.allclose(found[0], [0, third, third, third, third, third, 0])  # a square of 2 * 2 + 1, corners too
    assert not feather(np.zeros((3, 3), bool), 2).any()
    assert np.array_equal(feather(mask, 0), mask)


def test_a_crop_is_a_square_of_zoom_times_the_longest_side():
    (region,) = find_regions(weight(100, 100, (40, 30, 44, 50)), 1.5, 8)
    assert region.box == (27, 25, 57, 55)  # 30 x 30 about (42, 40)
    assert region.mask.sum() == 4 * 20


def test_the_smallest_crop_and_the_whole_picture():
    mask = weight(100, 80, (50, 40, 52, 42))
    assert find_regions(mask, 1.5, 16)[0].box == (43, 33, 59, 49)
    assert find_regions(mask, 0, 16)[0].box == (0, 0, 100, 80)
    assert find_regions(np.zeros((9, 9), np.float32), 1.5, 8) == []


@pytest.mark.parametrize(
    ("box", "crop"),
    [
        ((0, 0, 10, 10), (0, 0, 20, 20)),  # a corner: shifted inside
        ((90, 45, 100, 55), (80, 40, 100, 60)),
    ],
)
def test_a_component_at_the_border(box, crop):
    (region,) = find_regions(weight(100, 100, box), 2, 8)
    assert region.box == crop
    assert region.mask.sum() == 100


def test_a_picture_smaller_than_the_crop_gives_all_it_has():
    (region,) = find_regions(weight(20, 60, (5, 10, 8, 50)), 1.5, 8)  # 40 long: a crop of 60, the picture has 20
    assert region.box == (0, 0, 20, 60)
    assert region.weight.shape == (20, 60)


def test_crops_that_touch_are_one():
    apart = find_regions(weight(60, 60, (0, 0, 8, 8), (0, 24, 8, 32)), 1, 8)
    assert [one.box for one in apart] == [(0, 0, 8, 8), (0, 24, 8, 32)]
    (one,) = find_regions(weight(60, 60, (0, 0, 8, 8), (0, 16, 8, 24)), 2, 8)  # 16 wide each: 0..16 and 12..28
    assert one.box[3] - one.box[1] == 48
    assert one.mask.sum() == 128


def test_touching_goes_on_until_no_two_meet():
    boxes = [(0, 14 * k, 4, 14 * k + 4) for k in range(4)]
    found = find_regions(weight(64, 64, *boxes), 3.5, 8)
    assert len(found) == 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = (rng.random((50, 70)) > 0.995).astype(np.float32)
        regions = find_regions(mask, 1.5, 6)
        seen = np.zeros(mask.shape, int)
        for region in regions:
            top, left, bottom, right = region.box
            seen[top:bottom, left:right] += 1
        assert seen.max(initial=0) <= 1
        assert sum(region.mask.sum() for region in regions) == mask.sum()


def test_paste_is_feathered_and_touches_nothing_else():
    picture = np.full((4, 6, 3), 100, np.uint8)
    region = Region((1, 1, 3, 5), np.array([[0, 0.5, 1, 0], [0, 0, 1, 0]], np.float32))
    region.paste(picture, np.full((2, 4, 3), 200, np.uint8))
    assert picture[..., 0].tolist() == [
        [100] * 6,
        [100, 100, 150, 200, 100, 100],
        [100, 100, 100, 200, 100, 100],
        [100] * 6,
    ]


def test_shapes_for_the_model():
    assert model_shape(30, 30, 512, 8) == (512, 512)
    assert model_shape(2000, 2000, 512, 8) == (512, 512)  # larger than the model: brought down
    assert model_shape(20, 60, 64, 8) == (24, 64)
    assert model_shape(1, 900, 64, 8) == (8, 64)


def test_resizing_keeps_what_fits_and_never_loses_the_mask():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert resized(picture, (8, 8)) is picture
    assert resized(picture, (16, 4)).shape == (16, 4, 3)
    mask = np.zeros((64, 64), bool)
    mask[31, 17] = True
    assert resized_mask(mask, (64, 64)).sum() == 1
    assert resized_mask(mask, (32, 32))[15, 8] == 1
    assert resized_mask(mask, (128, 128))[62:64, 34:36].all()
