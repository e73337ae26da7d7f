"""Only ordinary files are opened: a FIFO would hang, a device never end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from shards.guard.plain_file import (
    FileTooLargeError,
    SpecialFileError,
    is_plain,
    kind_of,
    open_plain,
    read_plain,
    size_of,
)


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A path of every kind that is no ordinary file."""
    monkeypatch.chdir(tmp_path)  # a socket's path may have about 100 characters
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    Path("device").symlink_to("/dev/zero")
    Path("folder").mkdir()
    kinds = {"FIFO": "fifo", "socket": "socket", "device": "device", "folder": "folder"}
    return {kind: tmp_path / name for kind, name in kinds.items()}


def test_special_files_are_told_and_never_opened(strange, monkeypatch):
    opened = []
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments))
    for kind, path in strange.items():
        assert kind_of(path) == kind
        assert not is_plain(path)
        assert size_of(path) == -1
        with pytest.raises(SpecialFileError, match=f"it is a {kind}, not a file"):
            open_plain(path)
        with pytest.raises(SpecialFileError):
            read_plain(path, 10)
    assert opened == []


def test_a_name_that_becomes_a_fifo_after_the_look_does_not_hang(strange, monkeypatch):
    monkeypatch.setattr("shards.guard.plain_file.kind_of", lambda path: "file")
    with pytest.raises(SpecialFileError):
        open_plain(strange["FIFO"])


def test_files_and_links_to_files_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        path = tmp_path / name
        assert (kind_of(path), is_plain(path), size_of(path)) == ("file", True, 5)
        assert read_plain(path, 5) == b"12345"
        with pytest.raises(FileTooLargeError, match="5 bytes, at most 4 are read"):
            read_plain(path, 4)


def test_a_file_that_grows_while_it_is_read_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12345")
    stated = os.stat_result((0o100644, 1, 1, 1, 0, 0, 2, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda handle: stated)
    with pytest.raises(FileTooLargeError, match="more than the 3 bytes"):
        read_plain(tmp_path / "a", 3)


def test_what_is_not_there(tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    for path in (tmp_path / "none", tmp_path / "dangling"):
        assert not is_plain(path)
        assert size_of(path) == -1
        with pytest.raises(FileNotFoundError):
            read_plain(path, 1)
    assert not is_plain(tmp_path / "n\0ul")
    assert size_of(tmp_path / "n\0ul") == -1
    with pytest.raises(OSError, match="null byte"):
        open_plain(tmp_path / "n\0ul")
