"""Size policies: image and mask move together; masks keep their values."""

from __future__ import annotations

import numpy as np
import pytest

from shards.resize import SizePolicy, resize_image, resize_item, resize_mask
from shards.source import Region, SourceItem


def marked(height: int, width: int, y: int, x: int, half: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A black picture with a white square, and the mask of that square."""
    mask = np.zeros((height, width), np.uint8)
    mask[y - half : y + half, x - half : x + half] = 1
    return np.repeat(mask[:, :, None] * 255, 3, axis=2), mask


@pytest.mark.parametrize("policy", ["crop", "bucket", "pad"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (100, 160), (160, 100), (90, 61), (32, 40)])
def test_the_mask_stays_on_its_square(policy, height, width):
    size = SizePolicy(policy, size=64, multiple=16)
    image, mask = marked(height, width, height // 2, width // 2)
    small, label = resize_image(image, size), resize_mask(mask, size)
    assert small.shape[:2] == label.shape == size.target(height, width)
    assert set(np.unique(label)) <= {0, 1, 255}
    bright = small[..., 0] > 127
    wrong = np.count_nonzero((bright != (label == 1)) & (label != 255))
    assert wrong <= 0.15 * np.count_nonzero(label == 1) + 4


def test_crop_takes_the_centre_of_the_long_side():
    ramp = np.repeat(np.arange(128, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    assert np.array_equal(resize_image(ramp, SizePolicy("crop", 64)), ramp[:, 32:96])


@pytest.mark.parametrize("height", [49, 98, 103, 107])
def test_a_window_that_rounds_beyond_the_picture_is_held_inside(height):
    """64 / (64 / 49) is a hair more than 49."""
    picture = np.zeros((height, height + 11, 3), np.uint8)
    assert resize_image(picture, SizePolicy("crop", 64)).shape == (64, 64, 3)


def test_pad_ignores_its_borders():
    _, mask = marked(32, 64, 16, 32)
    padded = resize_mask(mask, SizePolicy("pad", 64))
    assert (padded[:16] == 255).all()
    assert (padded[48:] == 255).all()
    assert np.array_equal(padded[16:48], mask)


def test_buckets_are_multiples_near_one_area():
    buckets = SizePolicy("bucket", 512, 64).buckets()
    assert (512, 512) in buckets
    for height, width in buckets:
        assert height % 64 == width % 64 == 0
        assert 0.6 * 512**2 <= height * width <= 512**2
    policy = SizePolicy("bucket", 512, 64)
    assert policy.target(512, 512) == (512, 512)
    wide, tall = policy.target(1000, 1700), policy.target(1700, 1000)
    assert wide == tall[::-1]
    assert wide[1] > wide[0]


def test_an_item_keeps_everything_else_and_a_fit_changes_nothing():
    image, mask = marked(100, 160, 50, 80)
    item = SourceItem(image, "u", "h", "caption", mask=mask, regions=(Region("eye", mask, "face"),))
    small = resize_item(item, SizePolicy("crop", 64))
    assert (small.uri, small.caption) == ("u", "caption")
    assert small.image.shape == (64, 64, 3)
    assert np.array_equal(small.mask, small.regions[0].mask)
    assert resize_item(small, SizePolicy("crop", 64)) is small
    assert resize_item(item, SizePolicy("none")) is item


def test_the_policy_checks_itself():
    for bad in ({"size": 4}, {"policy": "bucket", "size": 100, "multiple": 64}, {"max_aspect": 0.5}):
        with pytest.raises(ValueError, match="must be"):
            SizePolicy(**bad)
