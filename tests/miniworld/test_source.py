"""Scenes as a source of shards."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from miniworld.source import MiniworldSource
from miniworld.world.render import render
from miniworld.world.scenes import caption, sample_scene, scene_from_dict
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError
from shards.source import open_source


def test_item_carries_everything() -> None:
    source = open_source("miniworld", count=5, first_seed=10)
    item = source[3]
    scene = sample_scene(13)
    assert item.uri == "miniworld:13"
    assert item.caption == caption(scene)
    assert item.licence == "Apache-2.0"
    assert scene_from_dict(dict(item.scene)) == scene
    np.testing.assert_array_equal(item.image, render(scene))
    assert item.sha256 == hashlib.sha256(item.image.tobytes()).hexdigest()


def test_regions_are_things_and_their_parts() -> None:
    source = MiniworldSource(count=40)
    for index in range(40):
        item = source[index]
        objects = {r.name: r for r in item.regions if not r.parent}
        assert len(objects) == len({r.name for r in item.regions if not r.parent}) > 0
        cover = np.zeros_like(item.regions[0].mask)
        for region in item.regions:
            assert region.mask.any()
            if region.parent:
                assert region.name.split(".")[0] == region.parent.split("-")[0]
                assert (region.mask <= objects[region.parent].mask).all()
                cover += region.mask
        np.testing.assert_array_equal(cover, sum(r.mask for r in objects.values()))


def test_no_two_items_share_digest_and_occurrence() -> None:
    items = list(MiniworldSource(count=300))
    assert len({(i.sha256, i.occurrence) for i in items}) == 300


def test_same_list_same_fingerprint_and_pickles() -> None:
    a, b, c = MiniworldSource(5), MiniworldSource(5), MiniworldSource(5, 1)
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()
    assert pickle.loads(pickle.dumps(a))[2].sha256 == a[2].sha256
    with pytest.raises(IndexError):
        a[5]


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"first_seed": -1},
        {"count": SPLITS["source"].count + 1},
        {"count": 2, "first_seed": SPLITS["source"].count - 1},
        {"count": "many"},
        {"first_seed": SPLITS["wild-test"].start},
    ],
)
def test_bad_range_is_a_clear_error(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="source 'miniworld'"):
        open_source("miniworld", **options)


def test_unknown_option_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        open_source("miniworld", sceds=3)
