"""Reading by position: order, lazy members, workers, cached index, damage."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import shutil
import tarfile
import threading

import numpy as np
import pytest

from shards.errors import MissingInputError, SchemaError
from shards.reader import ShardReader
from shards.shard_index import INDEX_NAME


def rewrite(path, change) -> None:
    """Pass every (name, data) of a tar through `change`, which returns data or None."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            data = change(name, data)
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_samples_come_back_in_order(finished_run, sample):
    reader = ShardReader(finished_run)
    assert len(reader) == 8
    assert [reader.key(i) for i in (0, 3, 4, -1)] == ["00000_00000", "00000_00003", "00001_00000", "00001_00003"]
    expected = sample(1, 2)
    for got in (reader[6], reader[reader.find("00001_00002")]):
        assert np.array_equal(got.image, expected.image)
        assert np.array_equal(got.mask, expected.mask)
        assert np.array_equal(got.source, expected.source)
    assert np.array_equal(reader.image(6), expected.image)
    assert np.array_equal(reader.mask(6), expected.mask)
    assert np.array_equal(reader.source(6), expected.source)
    assert reader.meta(6).corruption == expected.meta.corruption
    assert sum(one.meta.label == "clean" for one in reader) == 5
    with pytest.raises(IndexError, match=r"outside 0\.\.7"):
        reader[8]
    with pytest.raises(SchemaError, match="no sample 'x'; keys run from 00000_00000 to 00001_00003"):
        reader.find("x")


def test_a_tar_a_glob_and_several_runs(finished_run, tmp_path, run_maker):
    run_maker(tmp_path / "second", num_shards=1)
    assert len(ShardReader(finished_run / "shards" / "00001.tar")) == 4
    assert len(ShardReader(str(finished_run / "shards" / "*.tar"))) == 8
    both = ShardReader([finished_run, tmp_path / "second"])
    assert len(both) == 12
    assert both.path(11) == tmp_path / "second/shards/00000.tar"
    assert both[11].key == "00000_00003"


def digest(reader, indices) -> list[int]:
    return [int(reader.image(i).astype(np.int64).sum()) for i in indices]


def child(reader, queue) -> None:
    queue.put(digest(reader, range(8)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_the_parent_reads(finished_run, method):
    reader = ShardReader(finished_run)
    expected = digest(reader, range(8))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=child, args=(reader, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join()


def test_threads_share_one_reader(finished_run):
    reader = ShardReader(finished_run)
    expected, found = digest(reader, range(8)), {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: digest(reader, range(8))})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


def test_the_index_is_arrays_not_objects(finished_run):
    reader = ShardReader(finished_run)
    per_sample = (reader.keys.nbytes + reader._spans.nbytes + reader._shards.nbytes) / len(reader)
    assert per_sample < 200
    assert pickle.loads(pickle.dumps(reader)).key(7) == "00001_00003"
    assert reader._handles
    assert not pickle.loads(pickle.dumps(reader))._handles


def test_a_stale_or_damaged_index_is_made_again(finished_run, sample, run_maker, tmp_path):
    index = finished_run / "shards" / INDEX_NAME
    ShardReader(finished_run)
    assert index.exists()
    for damage in (b"", b"junk", index.read_bytes()[:200], pickle.dumps({"a": 1})):
        index.write_bytes(damage)
        assert ShardReader(finished_run)[7].key == "00001_00003"
    run_maker(tmp_path / "longer", rows=5)
    shutil.copy(tmp_path / "longer/shards/00001.tar", finished_run / "shards/00001.tar")
    assert len(ShardReader(finished_run)) == 9


def test_another_schema_version_is_refused(finished_run):
    def older(name, data):
        return json.dumps({**json.loads(data), "schema_version": 0}).encode() if name.endswith(".json") else data

    rewrite(finished_run / "shards/00001.tar", older)
    with pytest.raises(SchemaError, match=r"00001\.tar: schema version 0; this build reads version 1"):
        ShardReader(finished_run)


def test_damaged_and_foreign_tars_are_refused(finished_run, tmp_path):
    path = finished_run / "shards/00000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        header = tar.getmember("00000_00002.json").offset
    broken = whole[:header] + b"\xff" * 512 + whole[header + 512 :]
    for data in (whole[: len(whole) // 2], b"junk", broken, whole[:header], b""):
        path.write_bytes(data)
        with pytest.raises(SchemaError, match=r"00000\.tar.*make it again"):
            ShardReader(finished_run)
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("a.exe"))
    with pytest.raises(SchemaError, match=r"member 'a\.exe' is not one of"):
        ShardReader(finished_run)
    for missing in (tmp_path / "no", tmp_path):
        with pytest.raises(MissingInputError):
            ShardReader(missing)


def test_a_missing_member_is_named(finished_run):
    rewrite(finished_run / "shards/00000.tar", lambda n, d: None if n == "00000_00002.mask.png" else d)
    reader = ShardReader(finished_run)
    with pytest.raises(SchemaError, match=r"00000_00002: member mask\.png is missing"):
        reader.mask(2)
    assert reader[3].key == "00000_00003"


def test_our_labelled_sets_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(ShardReader("miniworld/sets/v1/select")) == 100
    with pytest.raises(MissingInputError, match="do not exist"):
        ShardReader("miniworld/sets/v1/none")
