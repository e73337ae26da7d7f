"""The tar walk finds what Python's tarfile and GNU tar have written, in every format."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from shards.guard.tar_walk import BLOCK, TarMember, TarWalk

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
KINDS = {tarfile.DIRTYPE: "folder", tarfile.LNKTYPE: "hard link", tarfile.SYMTYPE: "link"}


def walk(data: bytes, **options: object) -> tuple[list[TarMember], str]:
    """All members, and the problem."""
    walker = TarWalk(lambda offset, size: data[offset : offset + size], len(data), **options)
    members = list(walker)
    return members, walker.problem


def facts(data: bytes) -> list[tuple[object, ...]]:
    """What tarfile says: (name, kind, offset, data offset, size, link) of each member."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [
            (
                one.name,
                KINDS.get(one.type, "file" if one.isreg() else "special"),
                one.offset,
                one.offset_data,
                one.size if one.isreg() else 0,
                one.linkname,
            )
            for one in tar
        ]


def found(data: bytes) -> list[tuple[object, ...]]:
    members, problem = walk(data)
    assert problem == ""
    return [(one.name, one.kind, one.offset, one.data_offset, one.size, one.link) for one in members]


def random_name(rng: np.random.Generator, most: int) -> str:
    letters = [*"abcXYZ019._- ", "é", "猫", "\udcff"]
    parts = [
        "".join(letters[int(i)] for i in rng.integers(len(letters), size=int(rng.integers(1, 60)))).strip() or "x"
        for _ in range(int(rng.integers(1, 5)))
    ]
    return "/".join(parts)[:most].rstrip("/") or "x"


def random_tar(seed: int, form: int) -> bytes:
    """A valid tar of files, folders, links, devices and long names."""
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    headers = {"comment": "from here"} if form == tarfile.PAX_FORMAT and seed % 2 else None
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=headers) as tar:
        for _ in range(int(rng.integers(1, 12))):
            info = tarfile.TarInfo(random_name(rng, 90 if form == tarfile.USTAR_FORMAT else 400))
            if form == tarfile.USTAR_FORMAT:  # 100 bytes, not characters
                info.name = info.name.encode("ascii", "replace").decode().replace("?", "q")
            info.type = [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE,
                         tarfile.FIFOTYPE, tarfile.AREGTYPE][int(rng.integers(7))]  # fmt: skip
            if info.type == tarfile.AREGTYPE:  # of a long name tarfile takes the part that the header holds
                info.name = info.name.encode("ascii", "replace")[:90].decode().rstrip("/") or "x"
            info.mtime = (
                float(rng.integers(1 << 30)) + 0.5 if form == tarfile.PAX_FORMAT else int(rng.integers(1 << 30))
            )
            info.uname = "ü" if form == tarfile.PAX_FORMAT else "u"
            if info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                info.linkname = info.name[::-1].strip("/") or "y"
            data = bytes(rng.integers(0, 256, int(rng.choice([0, 1, 511, 512, 513, 3000])), dtype=np.uint8))
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_what_tarfile_writes(form: str):
    for seed in range(60):
        data = random_tar(seed, FORMATS[form])
        assert found(data) == facts(data), seed


def retouched(header: bytes, **fields: tuple[int, bytes]) -> bytes:
    """A header with (offset, bytes) written over it, and the right checksum."""
    changed = bytearray(header)
    for at, value in fields.values():
        changed[at : at + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


def simple(name: str = "a.png", data: bytes = b"d" * 700, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """One member, without an end mark."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(form) + data + bytes(-len(data) % BLOCK)


END = bytes(2 * BLOCK)


def test_fields_that_tarfile_does_not_write():
    plain = simple()
    v7 = retouched(plain[:BLOCK], magic=(257, bytes(8))) + plain[BLOCK:]
    folder = retouched(simple("a", b"")[:BLOCK], name=(0, b"dir/"), kind=(156, b"\0"), magic=(257, bytes(8)))
    base256 = retouched(plain[:BLOCK], size=(124, b"\x80" + (700).to_bytes(11, "big"))) + plain[BLOCK:]
    blanks = retouched(plain[:BLOCK], size=(124, b"     1274 \0\0")) + plain[BLOCK:]
    for one in (v7, base256, blanks):
        data = one + folder + simple("b.png") + END
        assert found(data) == facts(data)
        assert [item[0] for item in found(data)] == ["a.png", "dir", "b.png"]


def test_a_pax_header_has_the_last_word_on_size_and_name():
    info = tarfile.TarInfo("short")
    info.pax_headers = {"path": "long/é.png", "size": "700"}
    pax = info.tobuf(tarfile.PAX_FORMAT)
    data = pax + b"d" * 700 + bytes(-700 % BLOCK) + simple("b.png") + END
    assert found(data) == facts(data)
    assert [(item[0], item[4]) for item in found(data)] == [("long/é.png", 700), ("b.png", 700)]


def test_signed_checksums_count():
    header = bytearray(simple("é" * 20)[:BLOCK])
    header[148:156] = b" " * 8
    signed = sum(byte - 256 * (byte > 127) for byte in header)
    header[148:156] = b"%06o\0 " % signed
    data = bytes(header) + simple("é" * 20)[BLOCK:] + END
    assert found(data) == facts(data)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_the_program_tar_writes(form: str, tmp_path: Path):
    folder = tmp_path / "set"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a" * 1000)
    (folder / "inner" / "empty").write_bytes(b"")
    (folder / "b.png").hardlink_to(folder / "a.png")
    (folder / "c.png").symlink_to("a.png")
    if form in ("oldgnu", "gnu", "posix"):
        (folder / ("n" * 200)).write_bytes(b"long")
        (folder / "ünï").write_bytes(b"x")
    done = subprocess.run(["tar", f"--format={form}", "-cf", str(tmp_path / "a.tar"), "set"], cwd=tmp_path, check=False)
    if done.returncode:
        pytest.skip(f"this tar has no format {form}")
    data = (tmp_path / "a.tar").read_bytes()
    assert found(data) == facts(data)
    assert {item[1] for item in found(data)} == {"folder", "file", "link", "hard link"}


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
@pytest.mark.parametrize("form", ["oldgnu", "gnu", "posix"])
def test_sparse_members_are_told_and_passed(form: str, tmp_path: Path):
    with (tmp_path / "holes.png").open("wb") as file:
        for place in range(0, 60 << 20, 2 << 20):  # more holes than one header maps
            file.seek(place)
            file.write(b"x" * 5000)
    (tmp_path / "b.png").write_bytes(b"after")
    names = ["holes.png", "b.png"]
    done = subprocess.run(["tar", f"--format={form}", "-Scf", "a.tar", *names], cwd=tmp_path, check=False)
    if done.returncode or (tmp_path / "a.tar").stat().st_size > 1 << 20:
        pytest.skip("no sparse files here")
    members, problem = walk((tmp_path / "a.tar").read_bytes())
    assert problem == ""
    assert [one.kind for one in members] == ["sparse", "file"]
    assert members[1].name == "b.png"


def test_tars_one_behind_the_other():
    first, second = simple("a.png") + bytes(20 * BLOCK), simple("b.png") + END
    members, problem = walk(first + second)
    assert [one.name for one in members] == ["a.png"]
    assert problem == f"the tar ends at byte {3 * BLOCK}, and more follows at byte {len(first)}, unread"
    members, problem = walk(first + second, read_on=True)
    assert [(one.name, one.offset) for one in members] == [("a.png", 0), ("b.png", len(first))]
    assert problem == ""
    members, problem = walk(simple() + END + b"no tar" + bytes(600), read_on=True)
    assert len(members) == 1
    assert problem == "the tar ends at byte 1536, and more follows at byte 2560, unread"
