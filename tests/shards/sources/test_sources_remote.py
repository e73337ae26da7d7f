"""Tars behind an address: the same pictures as from the disk, by range; failures are tried again, then one line."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hps_tools import hps_set

from shards.__main__ import main
from shards.errors import MissingInputError, SourceError
from shards.source import Reject, open_source
from shards.sources import remote_files
from shards.sources.remote_files import find_files
from shards.sources.tars import folder_name


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """(brace range on disk, the same in fsspec's memory)."""
    local = hps_set(tmp_path / "set")
    filesystem = fsspec.filesystem("memory")
    for path in sorted((tmp_path / "set").iterdir()):
        filesystem.pipe_file(f"/hub/data/{path.name}", path.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_files, "FIRST_PAUSE", 0.0)
    yield local, "memory://hub/data/data-{000000..000002}.tar"
    filesystem.rm("/hub", recursive=True)


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(offset, bytes) of every remote read."""
    seen: list[tuple[int, int]] = []
    cat = MemoryFileSystem.cat_file

    def noted(self: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        assert start is not None, "a whole file was asked for"
        assert end is not None
        seen.append((start, end - start))
        return cat(self, path, start=start, end=end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", noted)
    return seen


def test_the_same_pictures_as_from_the_disk(remote: tuple[str, str], tmp_path: Path):
    here, there = (open_source("webdataset", tars=tars) for tars in remote)
    assert there.fingerprint() == here.fingerprint()
    assert (here.name, there.name) == ("set", "data")
    for index in range(len(here)):
        one, two = here[index], there[index]
        assert (one.uri, one.sha256, one.caption) == (two.uri, two.sha256, two.caption)
        assert np.array_equal(one.image, two.image)
    kept = list((tmp_path / "cache" / "blemish" / "tars").iterdir())
    assert sorted(path.name.partition("-")[2] for path in kept) == [f"data-{n:06d}.tar.index.npz" for n in range(3)]
    again = pickle.loads(pickle.dumps(there))
    assert again[5].sha256 == here[5].sha256
    globbed = open_source("webdataset", tars="memory://hub/data/*.tar")
    assert globbed.fingerprint() == here.fingerprint()


def test_with_an_index_only_what_was_drawn_is_read(remote: tuple[str, str], ranges: list[tuple[int, int]]):
    open_source("webdataset", tars=remote[1])
    ranges.clear()
    source = open_source("webdataset", tars=remote[1], select={"count": 4, "seed": 3}, caption_keys="short_caption2")
    assert ranges == []
    items = list(source)
    assert len(items) == 4
    assert all(not isinstance(item, Reject) and item.caption.startswith(("text", "listed")) for item in items)
    # A picture and its record each.
    assert len(ranges) == 2 * 4
    assert sum(size for _, size in ranges) < 4 * 40_000


def test_a_changed_file_gets_another_index(remote: tuple[str, str]):
    before = open_source("webdataset", tars=remote[1])
    filesystem = fsspec.filesystem("memory")
    data = filesystem.cat_file("/hub/data/data-000001.tar")
    filesystem.pipe_file("/hub/data/data-000000.tar", data)
    after = open_source("webdataset", tars=remote[1])
    assert after.uri(0) == "data-000000.tar#000008"
    assert before.uri(0) == "data-000000.tar#000000"


class Flaky:
    """Fails for a while, then works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int, answer: bytes | Exception) -> None:
        self.left = failures
        cat = MemoryFileSystem.cat_file

        def flaky(filesystem: Any, path: str, **options: Any) -> bytes:
            if self.left:
                self.left -= 1
                if isinstance(answer, Exception):
                    raise answer
                return answer
            return cat(filesystem, path, **options)

        monkeypatch.setattr(MemoryFileSystem, "cat_file", flaky)


@pytest.mark.parametrize("answer", [TimeoutError("slow"), RuntimeError("502"), b"short"])
def test_a_read_is_tried_again(remote: tuple[str, str], monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception):
    source = open_source("webdataset", tars=remote[1])
    flaky = Flaky(monkeypatch, remote_files.ATTEMPTS - 1, answer)
    assert source[0].uri == "data-000000.tar#000000"
    assert flaky.left == 0


def test_what_does_not_come_stops_the_run_and_is_no_reject(remote: tuple[str, str], monkeypatch: pytest.MonkeyPatch):
    source = open_source("webdataset", tars=remote[1])
    Flaky(monkeypatch, 99, ConnectionError("no route\nto host"))
    with pytest.raises(SourceError, match=r"data-000000.tar cannot be reached \(ConnectionError: no route to host\)"):
        source[0]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://hub/data/data-{000000..000009}.tar", "data-000003.tar does not exist"),
        ("memory://hub/nothing/*.tar", "no tar matches"),
        ("memory://hub/nothing/a.tar", "does not exist"),
        ("nosuch://a/b.tar", "Protocol not known: nosuch"),
    ],
)
def test_addresses_that_lead_nowhere(remote: tuple[str, str], address: str, message: str):
    with pytest.raises((MissingInputError, SourceError), match=message):
        find_files([address])


def test_the_revision_may_stand_at_the_end(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    class Hub:
        def ls(self, path: str, detail: bool) -> list[dict[str, Any]]:
            asked.append(path)
            names = [f"{path}/data-00000{n}.tar" for n in range(3)]
            return [{"name": name, "size": 10, "lfs": {"sha256": name[-5]}, "type": "file"} for name in names]

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Hub(), url.removeprefix("hf://")))
    forms = (
        "hf://datasets/O/N@v1/data/data-{000000..000002}.tar",
        "hf://datasets/O/N/data/data-{000000..000002}.tar@v1",
    )
    for form in forms:
        files = find_files([form])
        assert [file.address for file in files] == [f"hf://datasets/O/N@v1/data/data-00000{n}.tar" for n in range(3)]
        assert len({file.stamp for file in files}) == 3
        assert folder_name(files[0]) == "O/N"
    assert asked == ["datasets/O/N@v1/data"] * 2, "one request a folder"


def test_the_hub_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The hub's own file system."""
    from huggingface_hub import HfFileSystem, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(remote_files, "FIRST_PAUSE", 0.0)
    HfFileSystem.clear_instance_cache()
    assert main(["index", "hf://datasets/ProGamerGov/no-such-set/data/data-{000000..000068}.tar@v1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "data-000000.tar@v1 cannot be reached (OfflineModeIsEnabled" in said[0]
