"""The benchmark for cards, small, on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import main, union_of


def test_busy_time_counts_overlap_once():
    assert union_of([]) == 0.0
    assert union_of([(0, 2), (1, 3), (5, 6)]) == 4.0
    assert union_of([(5, 6), (0, 10), (2, 3)]) == 10.0


def test_it_runs_small_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = "gpu --device cpu --size tiny --side 16 --batch 1 2 --rounds 1 --images 1 --channels-last off --gpu h100"
    monkeypatch.setattr(sys, "argv", [*words.split(), "--out", str(tmp_path)])
    main()
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["tiny 16 px, one image at a time", "tiny 16 px, batches of 2"]
    for row in report["rows"]:
        assert row["rate"]["median"] > 0
        assert row["bound"] == pytest.approx(row["tflops"] / 989)
        assert row["busy"] == "n/a"
    assert report["rows"][0]["ratio"] == 1.0
