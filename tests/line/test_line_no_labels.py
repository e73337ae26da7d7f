"""From a folder of pictures to shards with no label at all: regions where the run's own generator is unsure."""

from __future__ import annotations

from corruptor.line.command import make_shards
from corruptor.line.remake import remake
from shards.reader import ShardReader

SAMPLES = {"clean_share": 0.0, "sources_per_shard": 5}
REGION = {"policy": "uncertain", "options": {"steps": [20], "num_draws": 2, "region": {"area": 0.1}}}


def test_end_to_end(config_of, tmp_path):
    config = config_of(region=REGION, samples=SAMPLES)
    make_shards(config, tmp_path / "run")
    reader = ShardReader(tmp_path / "run")
    metas = [reader.meta(index) for index in range(len(reader))]
    rejected = (tmp_path / "run" / "rejects.jsonl").read_text().splitlines()
    assert len(metas) + len(rejected) == 12
    assert len(metas) > 8
    assert all(meta.label == "artifact" and meta.region.policy == "uncertain" for meta in metas)
    assert all(meta.corruption.nfe == 2 + 1 + 1 + 3 for meta in metas), "what the policy asks is not the row's"
    assert remake(tmp_path / "run", reader.key(0), None).same
    masks = [reader.mask(index) for index in range(len(reader))]
    other = config_of(region=REGION, samples=SAMPLES, compute={"device": "cpu", "num_threads": 1, "batch_size": 1})
    make_shards(other, tmp_path / "other")
    again = ShardReader(tmp_path / "other")
    assert all((masks[index] == again.mask(index)).mean() > 0.99 for index in range(len(masks)))
