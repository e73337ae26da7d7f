"""The benchmark of exports at its smallest: every format is measured against a copy of the members that it holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import export
from shards.export.exporters import EXPORTERS
from shards.reader import ShardReader


def test_every_format_has_its_members():
    assert export.MEMBERS.keys() == EXPORTERS.keys()


def test_one_format_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["--n", "20", "--rounds", "1", "--only", "coco", "--out", str(tmp_path / "bench")]
    monkeypatch.setattr(sys, "argv", ["export", *words])
    assert export.main() == 0
    (row,) = json.loads((tmp_path / "bench" / "export.json").read_text())["rows"]
    assert row["rate"]["median"] == pytest.approx(row["copy"]["median"] / row["export"]["median"])
    assert row["export"]["median"] > 0
    assert [path.name for path in (tmp_path / "bench").iterdir()].count("export.md") == 1
    assert len(list((tmp_path / "bench").iterdir())) == 2  # the runs are gone


def test_larger_pictures_are_valid_samples(tmp_path: Path):
    export.write_run(tmp_path / "run", 3, scale=2)
    reader = ShardReader(tmp_path / "run")
    assert [sample.image.shape for sample in reader] == [(128, 128, 3)] * 3
    assert reader.member_size(0, "webp") > 10_000
