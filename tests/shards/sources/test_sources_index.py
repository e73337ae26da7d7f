"""The index of a tar: equal to what tarfile finds, made once, resumed, and never trusted when it is stale."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hps_tools import SIZES, hps_set, hps_tar, picture
from PIL import Image

from shards.__main__ import main
from shards.errors import SourceError
from shards.source import open_source
from shards.sources import tar_index, tar_scan
from shards.sources.heads import head_sides, record_sides
from shards.sources.stores import LocalFile, local_file
from shards.sources.tar_index import open_index
from shards.sources.tar_table import PARTS, TarIndex


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """(tar, offset, bytes) of every read."""
    seen: list[tuple[str, int, int]] = []
    read = LocalFile.read

    def noted(self: LocalFile, offset: int, size: int) -> bytes:
        data = read(self, offset, size)
        seen.append((self.name, offset, len(data)))
        return data

    monkeypatch.setattr(LocalFile, "read", noted)
    return seen


def same(one: TarIndex, two: TarIndex) -> bool:
    a, b = one.arrays(), two.arrays()
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_spans_are_those_that_tarfile_finds(tmp_path: Path, form: int):
    path = hps_tar(tmp_path / "a.tar", 0, 9, format=form)
    with tarfile.open(path, "a", format=form) as tar:
        for name in ("ö" * 40 + "/" + "b" * 90 + ".PNG", "folder/", "c.txt", "c.webp"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            data = b"" if name.endswith("/") else picture(1) if "txt" not in name else b"words"
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    index = open_index(local_file(path))
    data = path.read_bytes()
    assert len(index) == 11
    with tarfile.open(path) as tar:
        for row in range(len(index)):
            name, kinds = index.name(row), index.kind_names[index.kinds[row]].split(",")
            for kind in kinds:
                member = next(m for m in tar.getmembers() if m.name.lower() == f"{name}.{kind}".lower())
                part = PARTS.index(kind if kind in PARTS else "image")
                offset, size = index.spans[row, part]
                assert data[offset : offset + size] == tar.extractfile(member).read()
    assert index.sides[:9].tolist() == [list(SIZES[n % 4]) for n in range(9)]
    assert index.sides[9].tolist() == [24, 24]


def test_a_second_start_reads_a_few_headers_of_the_tars(tmp_path: Path, reads: list[tuple[str, int, int]]):
    tars = hps_set(tmp_path / "set")
    first = open_source("webdataset", tars=tars)
    assert reads
    reads.clear()
    second = open_source("webdataset", tars=tars)
    assert len(reads) <= 3 * tar_index.LOOKS
    assert all(size == 512 for _, _, size in reads), "nothing but a few headers"
    reads.clear()
    assert second.fingerprint() == first.fingerprint()
    tar_names = [f"data-{number:06d}.tar" for number in range(3)]
    found = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert found == sorted([*tar_names, *(f".{name}.index.npz" for name in tar_names)])
    assert second[4].caption == first[4].caption == "short 4"
    assert {name for name, _, _ in reads} == {"data-000000.tar"}


def test_the_pass_reads_headers_and_not_pictures(tmp_path: Path, reads: list[tuple[str, int, int]]):
    path = tmp_path / "large.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(4):
            for name, data in ((f"{number}.json", b"{}"), (f"{number}.png", picture(number, size=(300, 300)))):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    open_index(local_file(path))
    assert sum(count for _, _, count in reads) < path.stat().st_size / 10
    assert len(reads) <= 4 + 2, "about one read a sample"


def test_a_pass_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = hps_tar(tmp_path / "a.tar", 0, 30)
    whole = open_index(local_file(path), "none")
    monkeypatch.setattr(tar_scan, "SAVE_SECONDS", 0.0)
    offsets: list[int] = []
    read = LocalFile.read

    def breaks(self: LocalFile, offset: int, size: int) -> bytes:
        if offset > path.stat().st_size // 2:
            raise SourceError("the line is down")
        return read(self, offset, size)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFile, "read", breaks)
        with pytest.raises(SourceError, match="line is down"):
            open_index(local_file(path))
    partial = tar_index.load_index(tmp_path / ".a.tar.index.npz", local_file(path))
    assert partial is not None
    assert not partial.complete
    assert 5 < len(partial) < 25

    def noted(self: LocalFile, offset: int, size: int) -> bytes:
        if size > 512:  # single headers are looked at when an index is read
            offsets.append(offset)
        return read(self, offset, size)

    monkeypatch.setattr(LocalFile, "read", noted)
    assert same(open_index(local_file(path)), whole)
    assert min(offsets) >= partial.resume_at
    # Stopped right behind the last sample there is only the end to be seen.
    stopped = tar_index.Draft(whole.stamp, whole)
    with tarfile.open(path) as tar:
        tar.getmembers()
        stopped.resume_at = tar.offset
    tar_index.save_index(tmp_path / ".a.tar.index.npz", stopped)
    assert same(open_index(local_file(path)), whole)


def test_another_tar_or_a_damaged_index_is_read_anew(tmp_path: Path):
    path = hps_tar(tmp_path / "a.tar", 0, 3)
    index = tmp_path / ".a.tar.index.npz"
    open_index(local_file(path))
    kept = index.read_bytes()
    hps_tar(path, 0, 5)
    assert len(open_index(local_file(path))) == 5
    for damaged in (b"", b"PK", kept[: len(kept) // 2], b"\x93NUMPY junk"):
        index.write_bytes(damaged)
        assert len(open_index(local_file(path))) == 5
        assert len(tar_index.load_index(index, local_file(path))) == 5


def test_where_an_index_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = hps_tar(tmp_path / "a.tar", 0, 3)
    open_index(local_file(path), "none")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]
    open_index(local_file(path), str(tmp_path / "kept"))
    assert [entry.name.partition("-")[2] for entry in (tmp_path / "kept").iterdir()] == ["a.tar.index.npz"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    beside, cached = tar_index.index_paths(local_file(path), "")
    beside.mkdir()  # in the way, as a folder that cannot be written would be
    beside.with_name(beside.name + ".lock").mkdir()
    open_index(local_file(path))
    assert cached.is_file()
    assert cached.is_relative_to(tmp_path / "cache" / "blemish")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"exif": b"Exif\0\0" + bytes(40_000), "progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
        ("BMP", {}),
        ("GIF", {}),
    ],
)
def test_sides_from_the_head_of_every_format(kind: str, options: dict[str, object]):
    data = picture(3, kind, (211, 97), **options)
    assert Image.open(io.BytesIO(data)).size == (211, 97)
    assert head_sides(data[: 1 << 16]) == (211, 97)
    assert head_sides(data[:11]) is None


@pytest.mark.parametrize(
    ("record", "sides"),
    [
        ({"width": 1792, "height": 1024}, (1792, 1024)),
        ({"height": 1024, "resolution": "1792x1024"}, (1792, 1024)),
        ({"width": None, "height": 5, "resolution": [7, 5]}, (7, 5)),
        ({"height": 1024, "resolution": 1024}, None),
        ({"width": 0, "height": 0}, None),
        ({"width": True, "height": 4}, None),
        ({}, None),
        ([], None),
    ],
)
def test_sides_from_a_record(record: object, sides: tuple[int, int] | None):
    assert record_sides(json.dumps(record).encode()) == sides
    assert record_sides(b"{") is None


def test_a_head_that_does_not_tell_is_looked_at_further(tmp_path: Path):
    path = tmp_path / "a.tar"
    large = picture(1, "JPEG", (211, 97), exif=b"Exif\0\0" + bytes(40_000))
    small = b'{"width": 9, "height": 8}'
    with tarfile.open(path, "w") as tar:
        for name, data in (("0.jpg", large), ("1.jpg", large), ("1.json", small), ("2.jpg", b"?")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert open_index(local_file(path)).sides.tolist() == [[211, 97], [9, 8], [0, 0]]


def test_the_verb_counts_and_names_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tars = hps_set(tmp_path / "set")
    (tmp_path / "set" / "data-000001.tar").write_bytes(b"junk" * 300)
    assert main(["index", tars]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("data-000001.tar: ")
    assert said[1] == "16 samples in 3 tars of 0.0 GB, 1 tars damaged"
    assert main(["index", str(tmp_path / "no.tar")]) == 2
    assert "no tar matches" in capsys.readouterr().err
