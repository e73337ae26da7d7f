"""Drawn faults: every kind can be drawn, is plain, and has exactly its mask."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from miniworld.world.breaks import neighbours
from miniworld.world.faults import FAULT_KINDS, MIN_PIXELS, VISIBLE, Drawn, compact, draw_fault, kinds_for, random_fault
from miniworld.world.glyphs import WORDS
from miniworld.world.render import render
from miniworld.world.scenes import Scene, sample_scene

FIRST = 500_000_000


@cache
def drawn_of(kind: str, count: int = 4) -> tuple[Drawn, ...]:
    """The first faults of a kind that the scenes from FIRST on allow."""
    found: list[Drawn] = []
    for seed in range(FIRST, FIRST + 200):
        scene = sample_scene(seed)
        if kind in kinds_for(scene):
            drawn = draw_fault(scene, kind, np.random.default_rng(seed))
            found += [drawn] if drawn else []
        if len(found) == count:
            break
    return tuple(found)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_is_drawn_plainly(kind: str) -> None:
    found = drawn_of(kind)
    assert len(found) == 4
    for drawn in found:
        assert drawn.kind == kind
        assert drawn.mask.dtype == np.uint8
        assert set(np.unique(drawn.mask)) == {0, 1}
        assert MIN_PIXELS <= drawn.mask.sum() < 0.2 * drawn.mask.size
        assert ndimage.label(drawn.mask, np.ones((3, 3)))[1] <= 2
        change = np.abs(drawn.image.astype(int) - drawn.valid).max(axis=-1)
        assert change[drawn.mask == 1].mean() > 20


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_mask_is_exact(kind: str) -> None:
    for drawn in drawn_of(kind):
        change = np.abs(drawn.image.astype(int) - drawn.valid).max(axis=-1)
        assert change[drawn.mask == 0].max() <= VISIBLE
        # And no larger than it must be: every masked pixel is within reach of one that changed.
        reach = ndimage.binary_dilation(change > 0, iterations=4)
        assert reach[drawn.mask == 1].all()


@pytest.mark.parametrize("kind", [k for k in FAULT_KINDS if k != "merged_objects"])
def test_valid_twin_is_the_render(kind: str) -> None:
    for drawn in drawn_of(kind):
        np.testing.assert_array_equal(drawn.valid, render(drawn.scene))


def test_wrong_words_are_no_words_and_have_one_nearest() -> None:
    for drawn in drawn_of("wrong_letter"):
        assert drawn.details["spelled"] not in WORDS
        assert neighbours(drawn.details["spelled"]) == [drawn.scene.things[drawn.thing].word]
    assert neighbours("PUS") == ["BUS", "PUB"]


def test_same_generator_state_gives_the_same_fault() -> None:
    scene = sample_scene(FIRST)
    a, b = (random_fault(scene, np.random.default_rng(3)) for _ in range(2))
    assert a is not None
    assert b is not None
    assert a.faults[0].details == b.faults[0].details
    np.testing.assert_array_equal(a.image, b.image)


def test_random_faults_allow_two_on_different_things() -> None:
    drawn = [random_fault(sample_scene(s), np.random.default_rng(s), second=1.0) for s in range(FIRST, FIRST + 30)]
    twice = [d for d in drawn if d is not None and len(d.faults) == 2]
    assert twice
    for d in twice:
        assert d.faults[0].thing != d.faults[1].thing
        np.testing.assert_array_equal(d.mask, np.maximum(d.faults[0].mask, d.faults[1].mask))


def test_no_thing_no_fault() -> None:
    empty = Scene(0, sample_scene(0).ground)
    assert kinds_for(empty) == ()
    assert random_fault(empty, np.random.default_rng(0)) is None
    assert all(draw_fault(empty, kind, np.random.default_rng(0)) is None for kind in FAULT_KINDS)


def test_unknown_kind_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="extra_finger"):
        draw_fault(sample_scene(0), "sixth_toe", np.random.default_rng(0))


def test_compact_closes_gaps_and_holes() -> None:
    seen = np.zeros((16, 16), bool)
    seen[4:11, 4] = seen[4:11, 10] = seen[4, 4:11] = seen[10, 4:11] = True  # a ring
    closed = compact(seen)
    assert closed[4:11, 4:11].all()
    assert closed.sum() == 49
