"""Candidates for the oracle's thresholds: counted on the same pictures, and the ones in use marked in the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniworld.evaluate import threshold_candidates as thresholds
from miniworld.evaluate.counting import share
from miniworld.oracle.explain import explain
from miniworld.oracle.thresholds import Thresholds
from miniworld.world.render import render
from miniworld.world.scenes import sample_scene
from miniworld.world.splits import SPLITS


def test_a_candidate_marks_what_the_oracle_marks_with_it() -> None:
    """The thresholds in use are among the candidates, and give the oracle's own mask."""
    seed = SPLITS["calibration"].start + 5
    scene = sample_scene(seed)
    image = render(scene)
    image[28:36, 28:36] = (255, 0, 255)
    masks = thresholds.masks_of((seed, image, scene))
    now = thresholds.CANDIDATES.index((Thresholds().area, Thresholds().mass))
    from miniworld.evaluate.trials import blind

    said = explain(image, blind(scene, np.random.default_rng(seed)))
    assert said.mask.any()
    np.testing.assert_array_equal(masks[now], said.mask)


def test_counts_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates, one marks everything and one nothing: every share follows."""
    monkeypatch.setattr(thresholds, "CANDIDATES", ((4, 110.0), (12, 150.0)))

    def judge(jobs: list[Any], what: str) -> list[Any]:
        return [[np.ones((64, 64), np.uint8), np.zeros((64, 64), np.uint8)] for _ in jobs]

    found = thresholds.compare(3, 1, 0, lambda images: images, judge)
    everything, nothing = found["4, 110"], found["12, 150"]
    assert (everything["clean"], nothing["clean"]) == (share(3, 3), share(0, 3))
    assert (everything["recall"]["share"], nothing["recall"]["share"]) == (1.0, 0.0)
    assert everything["precision"]["share"] == 1.0
    assert nothing["precision"]["of"] == 0
    assert nothing["lowest recall"][1]["hits"] == 0
    lines = thresholds.as_markdown(found).splitlines()
    assert lines[2].startswith("| 4, 110 | 100.0%")
    assert lines[3].startswith("| **12, 150** | 0.0%")
