"""A ladder in the line: written down, remade from the JSON, shared between runs, and told of beforehand."""

from __future__ import annotations

import pytest

from corruptor.line.command import make_shards
from corruptor.line.cost import count_passes
from corruptor.line.remake import remake
from corruptor.line.shared import make_runs
from shards.errors import ConfigError
from shards.reader import ShardReader

SAMPLES = {"clean_share": 0.2, "sources_per_shard": 5}


def corruption(threshold=45.0, **ladder):
    return {
        "injection": {"start_step": 48},
        "inversion": {"warm_passes": [1]},
        "verification": {"policy": "drop", "threshold": threshold},
        "ladder": {"floor": 30, "stride": 9, **ladder},
    }


def metas_of(run):
    reader = ShardReader(run)
    return {reader.key(index): reader.meta(index) for index in range(len(reader))}


def test_what_it_came_to_is_written_down_and_remade(config_of, tmp_path):
    make_shards(config_of(corruption=corruption(), samples=SAMPLES), tmp_path / "run")
    metas = metas_of(tmp_path / "run")
    climbed = {key: meta for key, meta in metas.items() if meta.extra["ladder"]["num_tries"] > 1}
    assert climbed, "some picture needed more than one try"
    for meta in metas.values():
        told, made = meta.extra["ladder"], meta.corruption
        assert len(told["steps"]) == len(told["tries"]) == len(meta.components)
        assert set(told["steps"]) <= {48, 39, 30}
        assert made.start_step == min(told["steps"], default=48)
        assert made.num_resample_steps == 50 - made.start_step
        resampled = sum(50 - step for step in (48, 39, 30)[: told["num_tries"]])
        assert made.nfe == 20 + resampled
    key = next(key for key, meta in climbed.items() if meta.label == "artifact")
    assert remake(tmp_path / "run", key, None).same


def test_batches_change_nothing(config_of, tmp_path):
    for size in (1, 4):
        compute = {"device": "cpu", "num_threads": 1, "batch_size": size}
        make_shards(config_of(corruption=corruption(), samples=SAMPLES, compute=compute), tmp_path / str(size))
    first, second = metas_of(tmp_path / "1"), metas_of(tmp_path / "4")
    assert first.keys() == second.keys()
    for key, meta in first.items():
        assert meta.extra["ladder"] == second[key].extra["ladder"]
        assert meta.corruption.nfe == second[key].corruption.nfe


def test_runs_that_share_inversions_climb_as_one_does_alone(config_of, tmp_path):
    plain = config_of(corruption={**corruption(), "ladder": None}, samples=SAMPLES)
    ladder = config_of(corruption=corruption(), samples=SAMPLES)
    make_runs([(plain, tmp_path / "plain"), (ladder, tmp_path / "ladder")], 0, 1)
    make_shards(ladder, tmp_path / "alone")
    together, alone = metas_of(tmp_path / "ladder"), metas_of(tmp_path / "alone")
    assert together.keys() == alone.keys()
    assert [meta.extra["ladder"] for meta in together.values()] == [meta.extra["ladder"] for meta in alone.values()]
    assert [meta.corruption.nfe for meta in together.values()] == [meta.corruption.nfe for meta in alone.values()]


def test_the_dry_run_counts_all_tries(config_of):
    passes = count_passes(config_of(corruption=corruption()).corruption, 2)
    assert (passes.inversion, passes.resampling, passes.decodes) == (20, 2 * (2 + 11 + 20), 1 + 2 * 3)


def test_a_floor_above_the_start_is_an_error_of_the_config(config_of):
    with pytest.raises(ConfigError, match="weaker than the first try at step 48"):
        config_of(corruption=corruption(floor=49))
