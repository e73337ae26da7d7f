"""A second opinion in the line: asked of every region, written down, and the same when a sample is made again."""

from __future__ import annotations

import shutil

import pytest
import tiny_network

from corruptor.line.command import make_shards
from corruptor.line.load import load_line
from corruptor.line.remake import remake
from shards.errors import ConfigError, MissingInputError
from shards.reader import ShardReader
from shards.writer import read_manifest

SAMPLES = {"clean_share": 0.0, "sources_per_shard": 5}


def corruption(detector, **verification):
    opinion = {"detector": str(detector), "score": "msr", "rise": -1.0}
    told = {"policy": "drop", "threshold": 0.0, "second_opinion": opinion | verification}
    return {"injection": {"start_step": 47}, "inversion": {"warm_passes": [1]}, "verification": told}


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return tiny_network.folder(tmp_path_factory.mktemp("opinion") / "segmenter")


def test_rises_are_written_down_and_remade(config_of, segmenter, tmp_path):
    config = config_of(corruption=corruption(segmenter), samples=SAMPLES)
    make_shards(config, tmp_path / "run")
    reader = ShardReader(tmp_path / "run")
    metas = [reader.meta(index) for index in range(len(reader))]
    rises = [rise for meta in metas for rise in meta.extra["rises"]]
    assert len(rises) == sum(len(meta.components) for meta in metas) > 0
    assert any(rises)
    told = read_manifest(tmp_path / "run" / "manifest.json")["config"]["corruption"]["verification"]["second_opinion"]
    assert len(told["sha256"]) > 60
    assert told["detector"] == "segmenter"
    key = reader.key(0)
    assert remake(tmp_path / "run", key, None).same
    other = tiny_network.folder(tmp_path / "other", keep_ratio=True)
    moved = f"corruption.verification.second_opinion.detector='{other}'"
    with pytest.raises(ConfigError, match="has other files"):
        remake(tmp_path / "run", key, None, [moved])


def test_what_does_not_rise_is_a_reject(config_of, segmenter, tmp_path):
    config = config_of(corruption=corruption(segmenter, rise=1.0), samples=SAMPLES)
    make_shards(config, tmp_path / "run")
    assert not list((tmp_path / "run" / "shards").glob("*.tar"))
    assert "below_threshold" in (tmp_path / "run" / "rejects.jsonl").read_text()


def test_a_detector_that_is_not_there(config_of, segmenter, tmp_path):
    config = config_of(corruption=corruption(tmp_path / "none"), samples=SAMPLES)
    with pytest.raises(MissingInputError, match="does not exist"):
        make_shards(config, tmp_path / "run")
    copy = tmp_path / "copy"
    shutil.copytree(segmenter, copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(MissingInputError):
        make_shards(config_of(corruption=corruption(copy), samples=SAMPLES), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_from_the_command_line():
    told = "corruption.verification.second_opinion={'detector': 'DIR', 'rise': 0.1}"
    found = load_line("configs/shards/miniworld.py", [told]).corruption.verification.second_opinion
    assert found is not None
    assert (found.detector, found.score, found.rise) == ("DIR", "msr", 0.1)
