"""Fixtures for all tests: small samples and small finished runs."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import FaultyServer, backend, upload, use

from shards.schema import ChangeMeta, CorruptionMeta, Meta, Sample, SourceMeta, make_key
from shards.source import Reject
from shards.writer import RunInfo, RunWriter

os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # runs are compared byte for byte, whatever the hour
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a background job's tests would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def build_sample(shard: int = 0, row: int = 0, side: int = 32, artifact: bool = True, **meta: Any) -> Sample:
    """A sample whose damaged square differs from its source, the same on every call."""
    rng = np.random.default_rng([shard, row])
    source = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    image, mask = source.copy(), np.zeros((side, side), np.uint8)
    facts = Meta(label="clean", source=SourceMeta("set", f"pictures/{row} é.png", f"{shard:032x}{row:032x}", index=row))
    if artifact:
        image[4:12, 6:20] ^= 128
        mask[4:12, 6:20] = 1
        facts = dataclasses.replace(
            facts,
            label="artifact",
            corruption=CorruptionMeta(method="noised", start_step=40, injected=True, options={"k": [1, 2]}),
            change=ChangeMeta("mean_abs", 4.0, "drop", 12.5, 3.25, 0.5),
            cells="1x1:eJwBAQD+/wAAAQABAA==",
            versions={"torch": "2"},
        )
    return Sample(make_key(shard, row), image, mask, dataclasses.replace(facts, **meta), source)


def write_run(out: Path, num_shards: int = 2, rows: int = 4, finalise: bool = True, **config: Any) -> RunWriter:
    """A run whose first samples are clean, with one reject a shard."""
    info = RunInfo(
        config={"seed": 1, **config},
        source={"name": "set", "items": num_shards * rows, "fingerprint": "ff"},
        num_shards=num_shards,
        title="Tiny run",
        licence="Apache-2.0",
    )
    run = RunWriter(out, info)
    for index in run.todo():
        with run.shard(index) as shard:
            for row in range(rows):
                shard.write(build_sample(index, row, artifact=index > 0 and row > 0))
            shard.reject(Reject(f"{index}.png", "no_region"), index * rows + rows)
    if finalise:
        run.finalise()
    return run


@pytest.fixture
def sample() -> Callable[..., Sample]:
    return build_sample


@pytest.fixture
def run_maker() -> Callable[..., RunWriter]:
    return write_run


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    """An S3 server on this machine with an empty bucket."""
    pytest.importorskip("obstore", reason="obstore is not installed (pip install 'blemish[stores]')")
    pytest.importorskip("moto", reason="moto, an S3 server for tests, is not installed")
    made = FaultyServer()
    made.bucket("bucket")
    yield made
    made.close()


@pytest.fixture
def reading(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The server, from which this process reads into a cache of its own; emptied afterwards."""
    use(server, monkeypatch, tmp_path / "cache")
    yield server
    server.fault = lambda method, path, query: ""
    backend().buckets["bucket"].keys.clear()


@pytest.fixture
def stored(reading: FaultyServer, finished_run: Path) -> Path:
    """A finished run; the bucket holds the same."""
    upload(finished_run, "run")
    reading.requests.clear()
    return finished_run
