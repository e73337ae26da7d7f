"""Shams through the whole line: what their samples say, and that one can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corruptor.line.command import make_shards
from corruptor.line.remake import remake
from shards.check import check_run
from shards.reader import ShardReader


def test_shams_keep_their_masks_and_say_what_they_are(config_of, tmp_path: Path):
    corruption = {
        "injection": {"start_step": 47},
        "inversion": {"warm_passes": [2, 1]},
        "verification": {"policy": "keep", "threshold": 4.0},
    }
    make_shards(config_of(corruption=corruption), tmp_path / "real")
    make_shards(config_of(corruption={**corruption, "sham": True}), tmp_path / "sham")
    real, sham = ShardReader(tmp_path / "real"), ShardReader(tmp_path / "sham")
    assert [sham.key(i) for i in range(len(sham))] == [real.key(i) for i in range(len(real))]
    labels = []
    for i in range(len(sham)):
        meta = sham.meta(i)
        np.testing.assert_array_equal(sham.mask(i), real.mask(i))
        assert meta.corruption.options["sham"] is True
        assert (meta.corruption.injected, meta.corruption.method, meta.cells) == (False, "none", "")
        assert meta.label == real.meta(i).label
        assert (meta.region.policy == "blobs") == (meta.label == "artifact")
        labels.append(meta.label)
    assert set(labels) == {"artifact", "clean"}
    assert check_run(tmp_path / "sham").ok


def test_a_sham_can_be_made_again(config_of, tmp_path: Path):
    corruption = {"injection": {"start_step": 47}, "verification": {"policy": "keep"}, "sham": True}
    make_shards(config_of(corruption=corruption, compute={"batch_size": 1, "num_threads": 1}), tmp_path / "sham")
    reader = ShardReader(tmp_path / "sham")
    key = next(reader.key(i) for i in range(len(reader)) if reader.meta(i).label == "artifact")
    found = remake(tmp_path / "sham", key, None)
    assert (found.refused, found.mask_pixels, found.largest) == ("", 0, 0)
