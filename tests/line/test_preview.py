"""A preview is the beginning of the run, byte for byte, and leaves nothing where the run will be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.preview import MOST, preview
from corruptor.line.processes import ALONE
from shards.errors import ConfigError, ResumeError
from shards.reader import ShardReader

ConfigOf = Callable[..., LineConfig]


def members(where: Path) -> dict[str, dict[str, bytes]]:
    reader = ShardReader(where, cache=False)
    return {reader.key(index): reader.members(index) for index in range(len(reader))}


def test_a_preview_is_the_beginning_of_the_run(config_of: ConfigOf, tmp_path: Path):
    out = tmp_path / "run"
    words = preview(config_of(), out, 7, ALONE)  # five sources a shard: the second shard is begun
    assert not out.exists()
    assert "7 samples of the first 7 rows: yield 100%; rejected: none" in words
    assert "the whole run: 12 rows, about 12 samples" in words
    folder = tmp_path / "run.preview"
    assert sorted(path.name for path in folder.iterdir()) == ["preview.json", "shards", "view"]
    page = (folder / "view" / "index.html").read_text()
    assert "A preview: the first 7 samples of a run of 12 pictures." in page
    assert "not complete" not in page
    first = members(folder)
    make_shards(config_of(), out)
    whole = members(out)
    assert len(first) == 7
    assert list(first) == list(whole)[:7]
    assert all(first[key] == whole[key] for key in first)
    with pytest.raises(ResumeError, match="holds a run already"):
        preview(config_of(), out, 7, ALONE)


def test_rejects_count_and_a_second_preview_replaces_the_first(config_of: ConfigOf, tmp_path: Path):
    preview(config_of(), tmp_path / "run", 2, ALONE)
    strict = config_of(
        corruption={
            "injection": {"start_step": 47},
            "inversion": {"warm_passes": [2, 1]},
            "verification": {"threshold": 255.0, "policy": "drop"},
        }
    )
    words = preview(strict, tmp_path / "run", 5, ALONE)  # only clean ones are left of 12
    samples = len(members(tmp_path / "run.preview"))
    assert 0 < samples < 5
    assert f"{samples} samples of the first 12 rows" in words
    assert f"below_threshold {12 - samples}" in words


@pytest.mark.parametrize("count", [0, -1, MOST + 1])
def test_how_many(config_of: ConfigOf, tmp_path: Path, count: int):
    with pytest.raises(ConfigError, match="must be 1 to 1000"):
        preview(config_of(), tmp_path / "run", count, ALONE)
    assert not list(tmp_path.iterdir())


def test_other_files_are_left_alone(config_of: ConfigOf, tmp_path: Path):
    (tmp_path / "run.preview").mkdir()
    (tmp_path / "run.preview" / "notes.txt").write_text("mine")
    with pytest.raises(ResumeError, match="holds something else"):
        preview(config_of(), tmp_path / "run", 2, ALONE)
    assert (tmp_path / "run.preview" / "notes.txt").read_text() == "mine"
