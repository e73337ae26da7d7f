"""A run that has all that exports must keep: two regions, ignored pixels, a reject, clean samples, twins."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from shards.schema import Sample
from shards.source import Reject
from shards.writer import RunInfo, RunWriter


@pytest.fixture
def labelled_run(tmp_path: Path, sample: Any) -> Path:
    """Two shards of three samples, a reject between them; two regions in one mask, ignored pixels in another."""
    info = RunInfo({"seed": 1}, {"name": "set", "items": 8, "fingerprint": "ff"}, 2)
    run = RunWriter(tmp_path / "run", info)
    for shard in run.todo():
        with run.shard(shard) as out:
            for row in range(4):
                one: Sample = sample(shard, row, artifact=row > 0)
                mask = one.mask.copy()
                if row == 1:
                    mask[20:23, 1:9] = 1
                    mask[0, 31] = 255
                if row == 2:
                    out.reject(Reject("2.png", "no_region"), shard * 4 + row)
                else:
                    out.write(dataclasses.replace(one, mask=mask))
    run.finalise()
    return tmp_path / "run"
