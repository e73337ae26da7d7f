"""Verification on images small enough to solve by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from corruptor.config import VerificationConfig
from corruptor.verify import verify

FACTOR = 2


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """12 x 12 pixels, two components of 4 x 4: the first changed by 40 on its left half, the second by 2."""
    round_trip = np.full((12, 12, 3), 100, dtype=np.uint8)
    mask = np.zeros((12, 12), dtype=np.uint8)
    mask[1:5, 1:5] = 1
    mask[7:11, 7:11] = 1
    corrupted = round_trip.copy()
    corrupted[1:5, 1:3] += 40
    corrupted[7:11, 7:11] -= 2
    corrupted[0, 0] += 6  # in the first component's ring, which has 7 x 7 - 16 = 33 pixels
    corrupted[11, 0] += 9  # outside
    return corrupted, round_trip, mask


def test_numbers_by_hand() -> None:
    corrupted, round_trip, mask = scene()
    _, numbers = verify(corrupted, round_trip, mask, FACTOR, VerificationConfig(policy="keep"))
    first, second = numbers.components
    assert (first.change_inside, first.changed_share, first.passed) == (20.0, 0.5, True)
    assert (second.change_inside, second.changed_share, second.passed) == (2.0, 0.0, False)
    assert first.box == (1, 1, 5, 5)
    assert second.box == (7, 7, 11, 11)
    assert (first.num_pixels, second.num_pixels) == (16, 16)
    # The first ring spans 0..6, the second 5..11; they share the four pixels 5..6 x 5..6.
    assert first.change_ring == pytest.approx(6 / 33)
    assert second.change_ring == 0.0
    assert numbers.num_pixels_ring == 33 + 33 - 4
    assert numbers.change_ring == pytest.approx(6 / 62)
    assert numbers.change_inside == 11.0
    assert numbers.num_pixels_outside == 144 - 32 - 62
    assert numbers.change_outside == pytest.approx(9 / 50)
    assert (numbers.num_components, numbers.num_components_passed, numbers.num_components_kept) == (2, 1, 2)


@pytest.mark.parametrize(("policy", "second"), [("keep", 1), ("ignore", 255), ("drop", 0), ("trim", 0)])
def test_policies_act_on_what_did_not_change(policy: str, second: int) -> None:
    corrupted, round_trip, mask = scene()
    new_mask, numbers = verify(corrupted, round_trip, mask, FACTOR, VerificationConfig(policy=policy))
    assert new_mask.dtype == np.uint8
    assert (new_mask[1:5, 1:5] == 1).all()
    assert (new_mask[7:11, 7:11] == second).all()
    assert (new_mask[mask == 0] == 0).all()
    assert numbers.num_components_kept == (2 if policy == "keep" else 1)
    assert mask[8, 8] == 1, "the mask that was given stays as it was"


def test_trim_keeps_what_changed() -> None:
    corrupted, round_trip, mask = scene()
    config = VerificationConfig(policy="trim", metric="changed_share", threshold=0.8, pixel_threshold=25.0)
    new_mask, numbers = verify(corrupted, round_trip, mask, FACTOR, config)
    # The 2 x 2 window covers (y - 1, y) x (x - 1, x). Columns 1 and 2 changed by 40, so a window mean is 40 only at
    # x = 2 with y = 2..4; half a window gives 20. Three pixels are fewer than a cell of four: dropped.
    assert not (new_mask == 1).any()
    assert numbers.components[0].num_pixels_kept == 0
    looser = dataclasses.replace(config, pixel_threshold=15.0)
    new_mask, numbers = verify(corrupted, round_trip, mask, FACTOR, looser)
    expected = np.zeros_like(mask)
    expected[1:5, 1:4] = 1  # half-covered windows give 20, except the corner pixels of y = 1
    expected[1, 1] = expected[1, 3] = 0
    assert np.array_equal(new_mask, expected)
    assert numbers.components[0].num_pixels_kept == 10


def test_tighten_shrinks_what_passed_and_drops_the_rest() -> None:
    corrupted, round_trip, mask = scene()
    config = VerificationConfig(policy="tighten", threshold=10.0, pixel_threshold=15.0)
    new_mask, numbers = verify(corrupted, round_trip, mask, FACTOR, config)
    expected = np.zeros_like(mask)
    expected[1:5, 1:4] = 1
    expected[1, 1] = expected[1, 3] = 0
    assert np.array_equal(new_mask, expected)
    assert [one.num_pixels_kept for one in numbers.components] == [10, 0]
    assert (numbers.num_components_passed, numbers.num_components_kept) == (1, 1)
    # 2 x 2 pixels are the least that is left: a higher bar leaves three, and so none.
    higher = dataclasses.replace(config, pixel_threshold=25.0)
    assert not verify(corrupted, round_trip, mask, FACTOR, higher)[0].any()


def test_metric_decides() -> None:
    corrupted, round_trip, mask = scene()
    share = VerificationConfig(metric="changed_share", threshold=0.6)
    assert not verify(corrupted, round_trip, mask, FACTOR, share)[1].components[0].passed
    assert verify(corrupted, round_trip, mask, FACTOR, VerificationConfig(threshold=20.0))[1].components[0].passed


def test_ignored_pixels_stay_and_are_not_measured() -> None:
    corrupted, round_trip, mask = scene()
    mask[11, 0] = 255
    new_mask, numbers = verify(corrupted, round_trip, mask, FACTOR, VerificationConfig())
    assert new_mask[11, 0] == 255
    assert numbers.change_outside == 0.0
    assert numbers.num_pixels_outside == 49


def test_clean_samples_have_the_same_fields() -> None:
    corrupted, round_trip, mask = scene()
    empty = np.zeros_like(mask)
    new_mask, clean = verify(round_trip, round_trip, empty, FACTOR, VerificationConfig())
    artifact = verify(corrupted, round_trip, mask, FACTOR, VerificationConfig())[1]
    types = [{name: type(value) for name, value in dataclasses.asdict(n).items()} for n in (clean, artifact)]
    assert types[0] == types[1]
    assert not new_mask.any()
    assert clean.num_components == 0
    json.dumps(dataclasses.asdict(artifact), allow_nan=False)


def test_a_mask_over_everything_has_no_ring() -> None:
    corrupted, round_trip, mask = scene()
    _, numbers = verify(corrupted, round_trip, np.ones_like(mask), FACTOR, VerificationConfig())
    assert (numbers.num_pixels_ring, numbers.change_ring, numbers.num_pixels_outside) == (0, 0.0, 0)


def test_diagonal_neighbours_are_one_component() -> None:
    corrupted, round_trip, _ = scene()
    mask = np.eye(12, dtype=np.uint8)
    assert verify(corrupted, round_trip, mask, FACTOR, VerificationConfig())[1].num_components == 1


def test_errors() -> None:
    corrupted, round_trip, mask = scene()
    with pytest.raises(ValueError, match="sizes differ"):
        verify(corrupted, round_trip, mask[:8], FACTOR, VerificationConfig())
    with pytest.raises(ValueError, match=r"metric 'changed_share' allows 0\.\.1"):
        VerificationConfig(metric="changed_share", threshold=4.0)
    with pytest.raises(ValueError, match="allowed are keep, trim, ignore, drop, tighten"):
        VerificationConfig(policy="delete")
