"""Files that are kept of object stores: complete or absent, under a bound, made once however many ask for them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from shards.errors import ConfigError, SourceError
from shards.store_cache import ABANDONED, ShardCache, is_ours


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardCache:
    """Room for a thousand bytes."""
    monkeypatch.setenv("BLEMISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BLEMISH_CACHE_GB", "1e-6")
    monkeypatch.setattr(ShardCache, "kept", set())
    return ShardCache()


def name(number: int) -> str:
    return ShardCache.name(f"s3://bucket/run/shards/{number:05d}.tar", 300, "tag", ".tar")


def fill(cache: ShardCache, number: int, size: int = 300, age: float = 0.0) -> Path | None:
    def write(file: BinaryIO) -> None:
        file.write(bytes([number]) * size)

    path = cache.fill(name(number), size, write)
    if path is not None and age:
        os.utime(path, (time.time() - age,) * 2)
    return path


def names(cache: ShardCache) -> set[str]:
    return {path.name for path in cache.folder.glob("*.tar*")}


def test_what_was_not_used_for_longest_goes_first(cache: ShardCache):
    for number, age in ((1, 30), (2, 20), (3, 10)):
        assert fill(cache, number, age=age) == cache.folder / name(number)
    assert cache.find(name(1), 300) is not None, "it counts as used now"
    assert fill(cache, 4) is not None
    assert names(cache) == {name(1), name(3), name(4)}
    assert sum(path.stat().st_size for path in cache.folder.glob("*.tar")) <= 1000
    assert fill(cache, 5, 1000) is not None
    assert names(cache) == {name(5)}
    assert fill(cache, 6, 1001) is None
    assert names(cache) == {name(5)}, "nothing is given up for what cannot fit"


def test_what_a_command_keeps_is_not_given_up_for_another(cache: ShardCache):
    for number in (1, 2, 3):
        cache.kept.add(name(number))
        fill(cache, number, age=100)
    assert fill(cache, 4) is None
    assert names(cache) == {name(1), name(2), name(3)}


def test_another_state_of_an_object_is_another_file():
    one = ShardCache.name("s3://b/r/0.tar", 5, "a", ".tar")
    assert (
        len({one, ShardCache.name("s3://b/r/0.tar", 5, "b", ".tar"), ShardCache.name("s3://b/q/0.tar", 5, "a", ".tar")})
        == 3
    )
    assert is_ours(one)
    assert not is_ours("0.tar")


def test_a_file_of_another_size_is_none(cache: ShardCache):
    path = fill(cache, 1)
    assert path is not None
    path.write_bytes(b"short")
    assert cache.find(name(1), 300) is None
    assert fill(cache, 1) == path
    assert path.read_bytes() == bytes([1]) * 300


def test_a_download_that_fails_leaves_nothing(cache: ShardCache):
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise SourceError("the store is away")

    with pytest.raises(SourceError, match="away"):
        cache.fill(name(1), 300, write)
    assert names(cache) == set()
    assert fill(cache, 1) is not None


def test_files_of_others_are_neither_counted_nor_deleted(cache: ShardCache):
    cache.folder.mkdir()
    for other in ("notes.txt", "00000.tar", "a" * 40):
        (cache.folder / other).write_bytes(bytes(5000))
    for number in range(5):
        assert fill(cache, number) is not None
    assert {"notes.txt", "00000.tar", "a" * 40} <= {path.name for path in cache.folder.iterdir()}


def test_what_is_under_way_counts_and_what_was_left_behind_goes(cache: ShardCache):
    cache.folder.mkdir()
    under_way, left = (cache.folder / f"{name(n)}.0123abcd-12-00ff.partial" for n in (1, 2))
    for path in (under_way, left):
        path.write_bytes(bytes(600))
    os.utime(left, (time.time() - 2 * ABANDONED,) * 2)
    assert fill(cache, 3) is not None
    assert not left.exists()
    assert under_way.exists()
    assert fill(cache, 4, 500) is None, "600 bytes of another process are on their way"


def test_threads_and_processes_that_ask_for_one_file_make_it_once(cache: ShardCache, tmp_path: Path):
    made = tmp_path / "made"

    def write(file: BinaryIO) -> None:
        with made.open("a") as log:
            log.write("x")
        time.sleep(0.3)
        file.write(bytes(300))

    def ask() -> None:
        assert cache.fill(name(1), 300, write) is not None

    context = multiprocessing.get_context("fork")
    workers = [threading.Thread(target=ask) for _ in range(3)]
    processes = [context.Process(target=ask) for _ in range(3)]
    for one in (*processes, *workers):
        one.start()
    for one in (*processes, *workers):
        one.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert made.read_text() == "x"
    assert names(cache) == {name(1)}


def test_a_folder_that_cannot_be_made_is_told_once_and_shards_stay_by_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BLEMISH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("BLEMISH_CACHE_GB", "1")
    cache = ShardCache()
    assert fill(cache, 1) is None
    assert fill(cache, 2) is None
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "they are read by range instead" in told


@pytest.mark.parametrize("told", ["much", "-1", "nan", "inf"])
def test_a_bound_that_is_none_is_one_line(told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BLEMISH_CACHE_GB", told)
    with pytest.raises(ConfigError, match=r"BLEMISH_CACHE_GB is .*give a number of 10\^9 bytes"):
        ShardCache()


def test_without_a_bound_it_is_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BLEMISH_CACHE_GB", raising=False)
    monkeypatch.setenv("BLEMISH_CACHE", str(tmp_path / "not/there/yet"))
    assert 0 < ShardCache().most <= 100 * 10**9
