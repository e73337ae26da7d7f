"""Tars as a source: every picture in them is a sample or a recorded reject; no tar hangs or fills memory."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from harness import batches, run, run_apart
from mutate import mutated
from PIL import Image
from tar_cases import END, filled, header, pax, plain, sparse_members, strange_starts, written

from shards.source import Reject, open_source
from shards.sources.braces import expand_braces


def png(seed: int, side: int = 20) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [png(seed) for seed in range(6)]


def gathered(path: Path, data: bytes) -> Counter[str]:
    """How the command line ends for a tar, and {"sample" or a reason: count} of what the source gives."""
    path.write_bytes(data)
    run(["shards", "index", path.name], path.parent)
    run(["shards", "gather", "webdataset", "--set", f"tars={path.name}", "--out", "seen"], path.parent, out="seen")
    source = open_source("webdataset", tars=str(path))
    found = Counter(item.reason if isinstance(item, Reject) else "sample" for item in source)
    assert sum(found.values()) == len(source)
    return found


@pytest.mark.parametrize("case", strange_starts("", b""))
def test_damage_ends_a_tar_with_one_reject(tmp_path: Path, case: str):
    strange = strange_starts("b.png", PICTURES[1])[case]
    first, last = plain([("a.png", PICTURES[0])]), plain([("c.png", PICTURES[2])])
    assert gathered(tmp_path / "a.tar", first + strange + last + END) == {"sample": 1, "corrupt_tar": 1}
    assert gathered(tmp_path / "b.tar", strange + last + END) == {"corrupt_tar": 1}


def test_a_header_without_its_member(tmp_path: Path):
    alone = header("././@LongLink", 8, b"L") + filled(b"alone.x\0") + END
    assert gathered(tmp_path / "a.tar", alone) == {"corrupt_tar": 1}
    assert gathered(tmp_path / "b.tar", plain([("a.png", PICTURES[0])]) + alone) == {"sample": 1, "corrupt_tar": 1}


@pytest.mark.parametrize("case", sparse_members("", b""))
def test_a_sparse_picture_is_a_reject_of_its_own(tmp_path: Path, case: str):
    strange = sparse_members("b.png", PICTURES[1])[case]
    data = plain([("a.png", PICTURES[0])]) + strange + plain([("c.png", PICTURES[2])]) + END
    assert gathered(tmp_path / "a.tar", data) == {"sample": 2, "unreadable": 1}


def test_two_tars_one_behind_the_other(tmp_path: Path):
    parts = [written([(f"{part}{n}.png", PICTURES[3 * part + n]) for n in range(3)]) for part in range(2)]
    assert gathered(tmp_path / "a.tar", b"".join(parts)) == {"sample": 6}
    assert gathered(tmp_path / "b.tar", parts[0] + b"no tar" + bytes(1000)) == {"sample": 3, "corrupt_tar": 1}
    source = open_source("webdataset", tars=str(tmp_path / "b.tar"))
    assert f"byte {len(parts[0])}, unread" in source[3].detail


def test_doubled_members_are_counted(tmp_path: Path):
    members = [("a.png", 0), ("a.png", 1), ("a.jpg", 2), ("b.png", 3), ("c.png", 4)]
    found = gathered(tmp_path / "a.tar", written([(name, PICTURES[n]) for name, n in members]))
    assert found == {"sample": 4, "extra_image": 1}
    texts = [("a.png", PICTURES[0]), ("a.txt", b"one"), ("a.txt", b"two")]
    assert gathered(tmp_path / "b.tar", written(texts)) == {"sample": 1, "no_image": 1}


def test_links_give_the_earlier_picture_or_are_rejects(tmp_path: Path):
    def link(name: str, target: str, kind: bytes) -> bytes:
        return header(name, 0, kind, target)

    data = plain([("d/a.png", PICTURES[0]), ("d/a.txt", b"a cat")])
    data += link("b.png", "d/a.png", b"1") + link("b.txt", "d/a.txt", b"1")
    data += link("d/c.png", "../d/./a.png", b"2") + link("e.png", "nowhere.png", b"1") + link("f.png", "g.png", b"2")
    data += link("p.png", "p.png", b"1") + link("q.png", "/etc/passwd", b"2") + header("r.png", 0, b"3")
    data += plain([("g.png", PICTURES[1])]) + END
    assert gathered(tmp_path / "a.tar", data) == {"sample": 4, "unreadable": 5}
    source = open_source("webdataset", tars=str(tmp_path / "a.tar"))
    one, two, three = source[0], source[1], source[2]
    assert one.sha256 == two.sha256 == three.sha256
    assert (one.caption, two.caption, three.caption) == ("a cat", "a cat", "")


def test_names_that_would_be_paths(tmp_path: Path):
    names = ["/abs/a.png", "../../up.png", "d/../../up2.png", "\n\x1b[31m.png", "CON.png", ".png", "a b.png"]
    names.append("c" * 90 + ".png")
    data = plain([(name, png(seed)) for seed, name in enumerate(names)]) + pax(("path", "é\u202e" * 300 + ".png"))
    found = gathered(tmp_path / "a.tar", data + plain([("short.png", PICTURES[0])]) + END)
    assert found == {"sample": len(names) + 1}


def test_members_of_any_size_stay_out_of_memory(tmp_path: Path):
    """A picture, record and caption of 3 GB each, and a picture that states 4 billion pixels a side."""
    wide = bytearray(PICTURES[0])
    wide[16:24] = b"\xff" * 8
    with (tmp_path / "a.tar").open("wb") as file:
        for name in ("a.png", "b.json", "b.png", "c.txt", "c.png"):
            size = 3 << 30 if name in ("a.png", "b.json", "c.txt") else len(PICTURES[0])
            file.write(header(name, size))
            if size >> 30:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(filled(PICTURES[0]))
        file.write(header("d.png", len(wide)) + filled(bytes(wide)) + END)
    argv = ["shards", "gather", "webdataset", "--set", "tars=a.tar", "--out", "seen"]
    run_apart(argv, tmp_path, out="seen")
    source = open_source("webdataset", tars=str(tmp_path / "a.tar"))
    assert [getattr(item, "reason", "sample") for item in source] == ["too_large", "sample", "sample", "truncated"]


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket", "nothing"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str):
    path = tmp_path / "a.tar"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    run(["shards", "index", "a.tar"], tmp_path)
    done = run(["shards", "gather", "webdataset", "--set", "tars=a.tar", "--out", "seen"], tmp_path, out="seen")
    assert done.code == (2 if kind == "nothing" else 0)
    for verb in (["check", "a.tar"], ["show", "a.tar", "--out", "seen/x.png"]):
        assert run(["shards", *verb], tmp_path, out="seen", codes=(1, 2)).seconds < 5


PATTERNS = ["x-{00..", "{", "}", "}{", "{0..99999999999}", "{9999999999..0}", "{1..2}" * 40, "{a,b}" * 60, "{}", "{,}"]
PATTERNS += ["{0..1048575}{a}{b}", "{" * 30 + "a,b" + "}" * 30, "{{0..99999}{0..99999},x}", "{0..9..0}", "[", "**"]
PATTERNS += ["{" + "9" * 5000 + "..1}", "\0", "x" * 5000]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_of_tars_are_bounded(tmp_path: Path, pattern: str):
    assert run(["shards", "index", f"no-such-{pattern}"], tmp_path, codes=(2,)).seconds < 5
    run(["shards", "gather", "webdataset", "--set", f"tars=no-such-{pattern}", "--out", "seen"], tmp_path, "seen", (2,))


def test_an_empty_list_of_tars(tmp_path: Path):
    for value in ("[]", "()", "['']"):
        argv = ["shards", "gather", "webdataset", "--set", f"tars={value}", "--out", "seen"]
        run(argv, tmp_path, out="seen", codes=(2,))


def test_brace_ranges_are_those_of_the_shell():
    assert expand_braces("x-{008..011}.tar") == ["x-008.tar", "x-009.tar", "x-010.tar", "x-011.tar"]
    assert expand_braces("{3..1}") == ["3", "2", "1"]
    assert expand_braces("{0..6..3}{a,b}") == ["0a", "0b", "3a", "3b", "6a", "6b"]
    assert expand_braces("{a,{1..2}b,c}") == ["a", "1b", "2b", "c"]
    assert expand_braces("{c..a}-{x}-{}") == ["c-{x}-{}", "b-{x}-{}", "a-{x}-{}"]
    assert expand_braces("plain.tar") == ["plain.tar"]


def sound_tar() -> bytes:
    """Three samples in every way that a tar may say something."""
    record = json.dumps({"caption": "a cat", "width": 20, "height": 20, "score": 0.5}).encode()
    first = plain([("d/a.png", PICTURES[0]), ("d/a.json", record), ("d/a.txt", b"words")])
    long = header("././@LongLink", 120, b"L") + filled(b"l" * 110 + b"/b.png\0") + plain([("short", PICTURES[1])])
    other = pax(("path", "é/c.png"), ("mtime", "1.5")) + plain([("c.png", PICTURES[2]), ("é/c.json", record)])
    return first + long + other + header("e.png", 0, b"1", "d/a.png") + END


@pytest.mark.parametrize("seeds", batches(ci=50, slow=700))
def test_mutated_tars(tmp_path: Path, seeds: range):
    sound = sound_tar()
    path = tmp_path / "a.tar"
    path.write_bytes(sound)
    assert len(open_source("webdataset", tars=str(path))) == 4
    for seed in seeds:
        data = mutated(sound, seed)
        if seed % 5 == 0:
            data += mutated(sound, seed + 1)
        path.write_bytes(data)
        argv = ["shards", "gather", "webdataset", "--set", "tars=a.tar", "--out", f"seen{seed}"]
        run(argv, tmp_path, out=f"seen{seed}")
