"""Kinds of damage in the line: a field of every sample, remade, and absent where a run has none."""

from __future__ import annotations

import json

from corruptor.line.command import make_shards
from corruptor.line.remake import remake
from shards.check import check_run
from shards.reader import ShardReader
from shards.schema import decode_meta, encode_meta


def corruption(**kinds):
    return {
        "injection": {"start_step": 47, "kinds": kinds},
        "inversion": {"warm_passes": [1]},
        "verification": {"policy": "drop", "threshold": 0.0},
    }


def test_every_sample_says_its_kind_and_is_remade(config_of, tmp_path):
    kinds = {"distort": 1, "duplicate": 1, "omit": 1, "fuse": 1, "start_step": 45}
    samples = {"clean_share": 0.2, "sources_per_shard": 5, "num_variants": 2}
    make_shards(config_of(corruption=corruption(**kinds), samples=samples), tmp_path / "run")
    reader = ShardReader(tmp_path / "run")
    metas = {reader.key(index): reader.meta(index) for index in range(len(reader))}
    found = {meta.corruption.kind for meta in metas.values()}
    assert found == {"distort", "duplicate", "omit", "fuse", "none"}
    assert all((meta.corruption.kind == "none") == (meta.label == "clean") for meta in metas.values())
    for kind in ("duplicate", "omit", "fuse"):
        key = next(key for key, meta in metas.items() if meta.corruption.kind == kind)
        assert metas[key].corruption.start_step == 45
        assert ("resampling_prompt" in metas[key].extra) == (kind == "omit")
        assert remake(tmp_path / "run", key, None).same
    assert "kind" in json.loads(encode_meta(metas[key]))["corruption"]
    assert not check_run(tmp_path / "run").problems


def test_a_run_without_kinds_is_as_it_was(config_of, tmp_path):
    plain = {"injection": {"start_step": 48}, "inversion": {"warm_passes": [1]}, "verification": {"threshold": 0.0}}
    make_shards(config_of(corruption=plain), tmp_path / "run")
    meta = ShardReader(tmp_path / "run").meta(0)
    told = encode_meta(meta)
    assert "kind" not in json.loads(told)["corruption"]
    assert "ladder" not in meta.extra
    assert decode_meta(told) == meta
