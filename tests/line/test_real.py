"""Real pictures of many generators, where they are at hand: every one ends as a sample or as a reject with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from line_tools import line_values, make_pipeline

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from shards.check import check_run
from shards.config import make_config
from shards.source import open_source

SETS = {"sd15": 48, "pal": 50}
"""Name of a set -> pictures that it holds at least."""


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of Stable Diffusion 1.5's shape: f = 8, four latent channels."""
    return make_pipeline(tmp_path_factory.mktemp("real") / "tiny", latent_channels=4, levels=4)


@pytest.mark.parametrize("name", SETS)
def test_every_real_picture_is_accounted_for(name: str, wide_model: Path, tmp_path: Path):
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    root = Path(os.environ.get("BLEMISH_SHARED", beside)) / "real" / name
    if not root.is_dir():
        pytest.skip(f"no pictures at {root}; set BLEMISH_SHARED to the folder that holds real/")
    values = line_values(
        root,
        wide_model,
        size={"policy": "crop", "size": 64},
        samples={"sources_per_shard": 20, "clean_share": 0.2},
        compute={"device": "cpu", "num_threads": 1, "batch_size": 16},
    )
    make_shards(make_config(values, LineConfig), tmp_path / "run")
    report = check_run(tmp_path / "run")
    assert report.problems == []
    rejects = [json.loads(line) for line in (tmp_path / "run" / "rejects.jsonl").read_text().splitlines()]
    num_inputs = len(open_source("folder", root=str(root)))
    assert num_inputs >= SETS[name]
    assert report.counts["samples"] + len(rejects) == num_inputs
    assert len({reject["index"] for reject in rejects}) == len(rejects)
    assert report.counts["artifact"] > 0
    assert report.counts["clean"] > 0
