"""The leak check's shards: four makings from one computation are what the line makes of each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from corruptor.line import shared as shared_lines
from corruptor.line.command import make_shards
from leakcheck import make as leak_shards
from leakcheck.check import open_makings
from shards.check import check_run
from shards.reader import ShardReader

sys.path.append(str(Path(__file__).parents[1] / "line"))
from line_tools import make_pipeline

QUICK = (
    "corruption.num_grid_steps=4",
    "corruption.injection.start_step=2",
    "corruption.inversion.warm_passes=[1]",
    "samples.sources_per_shard=4",
    "compute.device='cpu'",
    "compute.batch_size=4",
)


def overrides(model: Path, first: int) -> tuple[str, ...]:
    return (*QUICK, f"model.folder='{model}'", f"source.options={{'count': 8, 'first_seed': {first}}}")


def test_makings_share_all_before_the_decoder_and_are_what_the_line_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = make_pipeline(tmp_path / "tiny")
    resample, resampled = shared_lines.resample_rows, []
    monkeypatch.setattr(shared_lines, "resample_rows", lambda *args: resampled.append(len(args[2])) or resample(*args))
    pairs = []
    for part, first in (("leakcheck", 600_000), ("leakcheck_sham", 650_000)):
        runs = leak_shards.runs_of(part, tmp_path / "shared", overrides(model, first))
        for rank in (1, 0):  # the second process to end closes the runs
            leak_shards.make(runs, 2, rank)
        assert sum(resampled) == 8
        resampled.clear()
        pairs.append([str(folder) for _, folder in runs])
        for config, folder in runs:
            make_shards(config, tmp_path / "alone" / folder.parent.name / part)
            alone, shared = ShardReader(tmp_path / "alone" / folder.parent.name / part), ShardReader(folder)
            assert check_run(folder).ok
            assert [shared.key(i) for i in range(len(shared))] == [alone.key(i) for i in range(len(alone))]
            for i in range(len(alone)):
                np.testing.assert_array_equal(shared.mask(i), alone.mask(i))
                assert np.abs(shared.image(i).astype(int) - alone.image(i).astype(int)).max() <= 1
                one, other = shared.meta(i).corruption, alone.meta(i).corruption
                assert (one.nfe, one.injected, one.options) == (other.nfe, other.injected, other.options)
    makings = open_makings(list(zip(*pairs, strict=True)))
    assert [one.switches for one in makings] == [(False, False), (False, True), (True, False), (True, True)]
    masked = [reader.image(0) for reader in map(ShardReader, pairs[0])]
    assert (masked[0] != masked[2]).any(), "paste-back changes the picture"


def test_what_is_done_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    model = make_pipeline(tmp_path / "tiny")
    both = [
        leak_shards.runs_of(part, tmp_path, overrides(model, first))
        for part, first in (("leakcheck", 600_000), ("leakcheck_sham", 650_000))
    ]
    for runs in both:
        leak_shards.make(runs, 1, 0)
    monkeypatch.setattr(leak_shards, "runs_of", lambda part, out, own: both[leak_shards.PARTS.index(part)])
    monkeypatch.setattr(leak_shards, "in_processes", None)
    leak_shards.make_all(tmp_path)
    assert capsys.readouterr().out == ""
