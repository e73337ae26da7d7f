"""The rate while all workers were at work, from the times of done marks."""

from __future__ import annotations

import pytest

from benchmarks.engines import rate


def test_the_time_to_start_is_left_out():
    # Two workers: the first marks at 10 and 12 s, then one a second from 13 to 16 s, of 4 images each.
    assert rate([16.0, 10.0, 12.0, 13.0, 14.0, 15.0], 2, 4) == pytest.approx(4 * 4 / 4)
    assert rate([0.0, 2.0, 4.0], 1, 8) == pytest.approx(2 * 8 / 4)
