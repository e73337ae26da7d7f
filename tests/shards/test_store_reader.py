"""Reading from a real S3 server: what local reading gives, by few requests, whatever the server does."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import FaultyServer, backend, upload

from shards import store_tar
from shards.errors import MissingInputError, SchemaError, SourceError
from shards.reader import ShardReader
from shards.schema import Sample
from shards.stores import Address, ObjectStore

RUN = "s3://bucket/run"


@pytest.fixture
def by_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tars of a few kilobytes are read as large ones are."""
    monkeypatch.setattr(store_tar, "REQUEST", 1)
    monkeypatch.setattr(store_tar, "WINDOW", 512)
    monkeypatch.setenv("BLEMISH_CACHE_GB", "0")


def equal(one: Sample, other: Sample) -> bool:
    return (
        one.key == other.key
        and one.meta == other.meta
        and np.array_equal(one.image, other.image)
        and np.array_equal(one.mask, other.mask)
        and np.array_equal(one.source, other.source)
    )


def gets(server: FaultyServer, ending: str = ".tar") -> list[str]:
    return [path for method, path in server.requests if method == "GET" and path.endswith(ending)]


@pytest.mark.parametrize("way", ["by range", "whole", "in time"])
def test_samples_are_those_of_the_local_run(
    way: str, stored: Path, request: pytest.FixtureRequest, tmp_path: Path, server: FaultyServer
):
    if way == "by range":
        request.getfixturevalue("by_range")
    reader, local = ShardReader(RUN, whole=way == "whole"), ShardReader(stored)
    assert len(reader) == len(local) == 8
    assert [reader.members(i) for i in range(8)] == [local.members(i) for i in range(8)]
    assert all(equal(one, other) for one, other in zip(reader, local, strict=True))
    assert (reader.keys == local.keys).all()
    assert (reader.sizes() == local.sizes()).all()
    assert str(reader.path(5)) == f"{RUN}/shards/00001.tar"
    kept = sorted((tmp_path / "cache").glob("*.tar"))
    if way == "by range":
        assert kept == []
    else:
        assert {hashlib.sha256(path.read_bytes()).digest() for path in kept} == {
            hashlib.sha256(path.read_bytes()).digest() for path in (stored / "shards").glob("*.tar")
        }
        server.requests.clear()
        assert [reader.key(i) for i in range(8)] == [ShardReader(RUN).key(i) for i in range(8)]
        assert gets(server) == [], "what is kept is asked for again"


@pytest.mark.usefixtures("by_range")
def test_one_sample_costs_a_look_at_its_own_tar(stored: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BLEMISH_CACHE_GB", "1")
    reader = ShardReader(RUN)
    assert gets(server) == [], "headers are read before they are wanted"
    index = reader.find("00001_00002")
    assert {path[-9:] for path in gets(server)} == {"00001.tar"}
    server.requests.clear()
    sample = reader[index]
    assert equal(sample, ShardReader(stored)[6])
    assert len(gets(server)) == 1, "its files lie side by side"
    server.requests.clear()
    again = ShardReader(RUN)
    assert equal(again[again.find("00001_00002")], sample)
    assert len(gets(server)) == 2, "with the index that was kept: the version, and the sample"


def test_a_tar_a_glob_a_folder_and_several_places(stored: Path):
    assert len(ShardReader(f"{RUN}/shards/00001.tar")) == 4
    assert len(ShardReader(f"{RUN}/shards/*.tar")) == 8
    assert len(ShardReader(f"{RUN}/shards/0000[1-9].tar")) == 4
    assert len(ShardReader(f"{RUN}/shards")) == 8
    assert len(ShardReader(Path(RUN))) == 8, "a path has lost a slash of it"
    both = ShardReader([RUN, stored])
    assert equal(both[2], both[10])
    with pytest.raises(SchemaError, match="no sample 'x'; keys run from 00000_00000 to 00001_00003"):
        ShardReader(RUN).find("x")


def test_a_run_under_way_and_tars_alone(stored: Path, run_maker: Callable[..., Any], tmp_path: Path):
    run_maker(tmp_path / "begun", finalise=False)
    upload(tmp_path / "begun", "begun")
    assert all(equal(a, b) for a, b in zip(ShardReader("s3://bucket/begun"), ShardReader(stored), strict=True))
    for path in (stored / "shards").glob("*.json*"):
        path.unlink()
    upload(stored / "shards", "loose")
    assert all(equal(a, b) for a, b in zip(ShardReader("s3://bucket/loose"), ShardReader(stored), strict=True))


@pytest.mark.parametrize("where", ["s3://bucket/none", f"{RUN}/shards/00009.tar", f"{RUN}/shards/9*.tar"])
def test_nothing_there_is_one_line(where: str, stored: Path):
    with pytest.raises(MissingInputError, match=r"no shards in s3://bucket/"):
        ShardReader(where)


def test_a_missing_bucket_and_other_addresses_are_one_line(stored: Path):
    with pytest.raises(MissingInputError, match="s3://nobody/run: the bucket is not there; check its name"):
        ShardReader("s3://nobody/run")
    for where in ("s3://bucket", "hf://datasets/me/run", "https://host/run"):
        with pytest.raises(MissingInputError, match=r"cannot be read from there; name a folder in a bucket"):
            ShardReader(where)


def test_refused_credentials_are_one_line_at_once(stored: Path, server: FaultyServer):
    server.fault = lambda method, path, query: "refused"
    with pytest.raises(SourceError, match=r"refuses these credentials .*; set those that may read there"):
        ShardReader(RUN)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["error", "short", "slow"])
def test_what_fails_for_the_moment_is_tried_again(fault: str, stored: Path, server: FaultyServer):
    met: list[str] = []

    def choose(method: str, path: str, query: str) -> str:
        if len(met) >= 3:
            return ""
        met.append(path)
        return fault

    server.fault = choose
    reader = ShardReader(RUN)
    assert all(equal(one, other) for one, other in zip(reader, ShardReader(stored), strict=True))
    assert len(met) == 3


@pytest.mark.usefixtures("by_range")
def test_a_tar_that_is_changed_or_gone_is_one_line(stored: Path, server: FaultyServer):
    reader = ShardReader(RUN)
    reader[0]
    ObjectStore(Address(RUN)).put("shards/00000.tar", bytes(reader.paths[0].size))
    with pytest.raises(SourceError, match=r"s3://bucket/run/shards/00000\.tar was changed since it was listed"):
        reader[0]
    del backend().buckets["bucket"].keys["run/shards/00001.tar"]
    with pytest.raises(SourceError, match=r"s3://bucket/run/shards/00001\.tar is gone since it was listed"):
        reader[4]
    server.fault = lambda method, path, query: "error"
    with pytest.raises(SourceError, match=r"the store cannot be reached .*; run the same command again$"):
        reader[1]


def test_a_whole_tar_is_compared_with_its_done_mark(stored: Path, tmp_path: Path):
    key = backend().buckets["bucket"].keys["run/shards/00001.tar"]
    data = bytearray(key.value)
    data[-5000] ^= 1
    key.value = bytes(data)
    reader = ShardReader(RUN, whole=True)
    reader[0]
    with pytest.raises(SourceError, match=r"00001\.tar: its bytes are not those of its done mark .*`blemish check`"):
        reader[5]
    assert len(list((tmp_path / "cache").glob("*.tar*"))) == 1, "a file that is not the shard was kept"


def test_a_shard_that_was_made_again_is_read_anew(stored: Path, run_maker: Callable[..., Any], tmp_path: Path):
    before = ShardReader(RUN, whole=True)[1]
    run_maker(tmp_path / "other", rows=3)
    upload(tmp_path / "other", "run")
    reader = ShardReader(RUN, whole=True)
    assert len(reader) == 6
    assert equal(reader[1], before)
    assert equal(reader[3], ShardReader(tmp_path / "other")[3])


def digest(reader: ShardReader, queue: Any) -> None:
    queue.put([int(reader.image(i).astype(np.int64).sum()) for i in range(8)])


@pytest.mark.usefixtures("by_range")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_the_parent_reads(method: str, stored: Path, server: FaultyServer):
    reader = ShardReader(RUN)
    expected = [int(one.image.astype(np.int64).sum()) for one in reader]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    server.requests.clear()
    workers = [context.Process(target=digest, args=(reader, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [expected] * 2
    for worker in workers:
        worker.join()
    assert len(gets(server)) >= 16, "they read for themselves"
    assert pickle.loads(pickle.dumps(reader)).key(3) == "00000_00003"


def state(key: str, value: object) -> None:
    """Let the manifest in the store say another thing of its second shard."""
    store = ObjectStore(Address(RUN))
    found = store.get("manifest.json")
    assert found is not None
    manifest = json.loads(found[0])
    manifest["shards"][1][key] = value
    store.put("manifest.json", json.dumps(manifest).encode())


@pytest.mark.parametrize("value", [10**15, -4, "4", None, 1e9])
def test_a_number_of_samples_that_cannot_be_is_not_believed(value: object, stored: Path):
    state("samples", value)
    assert len(ShardReader(RUN)) == 8


def test_a_number_of_samples_that_is_not_so_is_one_line(stored: Path):
    state("samples", 3)
    reader = ShardReader(RUN)
    assert len(reader) == 7
    with pytest.raises(SchemaError, match=r"00001\.tar: holds 4 samples, its done mark or manifest states 3"):
        reader[5]


def test_a_kept_index_that_is_damaged_is_made_anew(stored: Path, tmp_path: Path):
    expected = [one.key for one in ShardReader(RUN)]
    for path in (tmp_path / "cache").glob("*.npz"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    assert [one.key for one in ShardReader(RUN)] == expected


def test_what_is_no_shard_is_refused_as_a_local_one_is(stored: Path, reading: FaultyServer):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../evil.exe"))
    ObjectStore(Address("s3://bucket/evil")).put("shards/00000.tar", data.getvalue())
    with pytest.raises(SchemaError, match=r"evil/shards/00000\.tar: member '\.\./evil\.exe' is not one of"):
        ShardReader("s3://bucket/evil")
