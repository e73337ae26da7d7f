"""A band in the line: distances are written down, and the same when a sample is made again."""

from __future__ import annotations

from corruptor.line.command import make_shards
from corruptor.line.remake import remake
from shards.reader import ShardReader
from shards.writer import read_manifest


def test_distances_are_written_down_and_remade(config_of, tmp_path):
    band = {"features": "detector/weights/swin_mini.safetensors", "low": 0.0, "high": 2.0}
    told = {"policy": "drop", "threshold": 0.0, "band": band}
    corruption = {"injection": {"start_step": 47}, "inversion": {"warm_passes": [1]}, "verification": told}
    make_shards(config_of(corruption=corruption, samples={"sources_per_shard": 5}), tmp_path / "run")
    reader = ShardReader(tmp_path / "run")
    metas = [reader.meta(index) for index in range(len(reader))]
    found = [one for meta in metas for one in meta.extra.get("distances", ())]
    assert len(found) == sum(len(meta.components) for meta in metas) > 0
    assert all(0 < one < 2 for one in found)
    stored = read_manifest(tmp_path / "run" / "manifest.json")["config"]["corruption"]["verification"]["band"]
    assert len(stored["sha256"]) == 64
    key = next(reader.key(index) for index, meta in enumerate(metas) if meta.label == "artifact")
    assert remake(tmp_path / "run", key, None).same
    corruption["verification"]["band"] = {**band, "low": 1.99}
    make_shards(config_of(corruption=corruption, samples={"clean_share": 0.0}), tmp_path / "none")
    assert "below_threshold" in (tmp_path / "none" / "rejects.jsonl").read_text()
    assert not list((tmp_path / "none" / "shards").glob("*.tar"))
