"""The line against one image at a time, small: what is counted, and another config of the latter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.line import main

FAST = ["--set", "corruption.num_grid_steps=4", "--set", "source.options.count=2", "--n", "2", "--rounds", "1"]


@pytest.mark.parametrize("others", [False, True])
def test_passes_and_rates_of_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool) -> None:
    changed = ["--single", "corruption.inversion={'mode':'renoise','num_renoise_iterations':1}"] if others else []
    monkeypatch.setattr(sys, "argv", ["line", *FAST, *changed, "--out", str(tmp_path)])
    main()
    told = json.loads((tmp_path / "line.json").read_text())
    line, single = told["rows"]
    assert (line["nfe"], single["nfe"]) == (8.0, 12.0 if others else 8.0)  # four there, or two a step, and four back
    assert told["largest_difference"] is None if others else told["largest_difference"] <= 1
    for row in (line, single):
        assert row["rate"]["median"] > 0
        assert row["cpu_rate"]["median"] > 0
        assert 0 <= row["yield"] <= 1
    one = told["rounds"][0]
    assert told["cpu_ratio"]["median"] == pytest.approx(
        one["line"]["images_per_cpu_s"] / one["single"]["images_per_cpu_s"]
    )
