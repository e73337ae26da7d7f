"""Human sets from strangers: TFRecords, zips, folders and tables in which anything may be wrong.

Valid tiny sets are changed by a seed, at every level at which something is believed: bytes of the file, headers of the
container, messages and cells inside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import richhf_bytes as made
from harness import Outcome, batches, run
from mutate import mutated

from shards.check import check_run
from shards.reader import ShardReader

EMPTY = made.encode(made.grey_map(3, side=32))
MAP = made.encode(made.grey_map(3, (1, 2, 2, 30, 30), (2, 8, 8, 24, 24), side=32), "PNG")
SCORES = (7 / 12, 0.25, 0.5, 1.0)
NUMBERS = (0, 1, 19, 20, 63, 255, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = (
    "../../up/images/train/a.jpg",
    "/abs/images/train/a.jpg",
    "ldm/images/train/",
    "ldm/images/train/.jpg",
    "images/train/a",
    "ldm/images/train/a\0b.jpg",
    "ldm/images/train/\u202eé\x1b[2J.jpg",
    "x" * 300 + "/images/train/a.jpg",
    "con/images/test/a",
    "ldm/images/train/" + "n" * 5000,
    "ldm/images/train/p0.png",
    "/".join(["d"] * 2000) + "/images/val/a.jpg",
    "unified/images/test/\n.png",
    "_ldm!/images/test/a.png",
    "excluded.jsonl/images/test/a.png",
)
PLACES = ("ldm/images/train/p0.png", "unified/images/test/ffhq_1.png", "my set/images/val/a.png")


def one_of(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def ends_well(done: Outcome, out: Path) -> None:
    """What was written is whole, and every line of what was left out has a reason."""
    if done.code == 0:
        for manifest in out.rglob("manifest.json"):
            assert check_run(manifest.parent).ok
        for line in (out / "excluded.jsonl").read_bytes().splitlines():
            assert json.loads(line)["reason"]


# --- TFRecord ---------------------------------------------------------------------------------------------------------


def payloads() -> list[bytes]:
    return [
        made.record("train/uid-0.png", MAP, EMPTY, SCORES),
        made.record("train/uid-1.png", EMPTY, EMPTY, SCORES, packed=False),
        made.example({"filename": made.bytes_feature(b"train/uid-2.png"), "artifact_map": made.int_feature(1, -1)}),
    ]


def hostile_feature(rng: np.random.Generator) -> bytes:
    """A feature of a hostile kind."""
    number = one_of(rng, (0, 1, 2**31, 2**63, 2**64 - 1))
    kinds: list[Callable[[], bytes]] = [
        lambda: made.float_feature(float("nan"), float("inf"), -1e38),
        lambda: made.int_feature(number, -number),
        lambda: made.bytes_feature(*[b""] * 3000),
        lambda: made.bytes_feature(b"\xff\xfe" * int(rng.integers(1, 2000))),
        lambda: made.number(1 << 3 | 2) + made.number(number) + b"abc",  # a length of its own
        lambda: made.field(3, made.field(1, b"\xff" * 30)),
        lambda: b"\x0a" * 3000,  # deeply nested, if anybody followed
        lambda: made.bytes_feature(mutated(MAP, int(rng.integers(1 << 30)))),
        lambda: made.bytes_feature(made.photo(0, (int(rng.integers(1, 40)), 1), "PNG")),
    ]
    return one_of(rng, kinds)()


def tfrecord(seed: int) -> bytes:
    """A file of three records, changed in its bytes, in a message behind right checksums, in a feature or a length."""
    rng = np.random.default_rng([1, seed])
    records = payloads()
    at, kind = int(rng.integers(len(records))), seed % 4
    if kind == 1:
        records[at] = mutated(records[at], seed, 16)
    if kind == 2:
        names = ["filename", "artifact_map", "misalignment_map", "artifact_score", "prompt_misalignment_label", "", "é"]
        features = {"filename": made.bytes_feature(b"train/uid-0.png"), "artifact_map": made.bytes_feature(MAP)}
        for _ in range(2):
            features[one_of(rng, names)] = hostile_feature(rng)
        records[at] = made.example(features)
    frames = [made.frame(record) for record in records]
    if kind == 3:
        length = struct.pack("<Q", one_of(rng, (0, 1, 2**26, 2**31, 2**63, 2**64 - 1)))
        frames[at] = length + struct.pack("<I", made.mask_crc(made.crc(length))) + frames[at][12:]
    return mutated(b"".join(frames), seed) if kind == 0 else b"".join(frames)


def pick_a_pic(path: Path, **columns: Any) -> None:
    """The table of the pictures uid-0 and uid-1."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {
        "image_0_uid": ["uid-0", "other"],
        "jpg_0": [made.photo(0, (32, 32)), b"no picture"],
        "image_1_uid": ["other", "uid-1"],
        "jpg_1": [b"", made.photo(1, (32, 32))],
        "caption": ["a", "b"],
    }
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({**rows, **columns}), path)


def import_richhf(folder: Path, *more: str) -> Outcome:
    done = run(["shards", "import", "richhf", "richhf", "--out", "out", *more], cwd=folder, out="out")
    ends_well(done, folder / "out")
    return done


@pytest.mark.parametrize("seeds", batches(ci=20, slow=250, size=10))
def test_mutated_tfrecords(seeds, tmp_path):
    for seed in seeds:
        folder = tmp_path / str(seed)
        (folder / "richhf").mkdir(parents=True)
        pick_a_pic(folder / "pictures" / "train-0.parquet")
        (folder / "richhf" / "train.tfrecord").write_bytes(tfrecord(seed))
        import_richhf(folder, "--pictures", "pictures")


# --- zip --------------------------------------------------------------------------------------------------------------


def pal_files() -> dict[str, bytes]:
    label = np.zeros((24, 32), np.uint8)
    label[4:9, 5:12] = 1
    files = {}
    for number, place in enumerate(
        ("ldm/images/train/p0.png", "unified/images/test/ffhq_1.png", "my set/images/val/a.png")
    ):
        files[place] = made.photo(number, (32, 24), "PNG")
        files[place.replace("images", "labels")] = made.encode(label, "PNG")
    return files


def packed(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def pal_zip(seed: int) -> bytes:
    """A zip of three pictures and labels, changed in its bytes, a header's field, a member's bytes or its name."""
    rng = np.random.default_rng([2, seed])
    files = list(pal_files().items())
    at, kind = int(rng.integers(len(files))), seed % 4
    if kind == 1:
        files[at] = (files[at][0], mutated(files[at][1], seed, 16))
    if kind == 2:
        files.append((one_of(rng, NAMES), files[at][1]))
        files.append((files[at][0], b"again"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice
        data = packed(files, one_of(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
    if kind == 3:
        data = with_field(data, rng)
    return mutated(data, seed, 64) if kind == 0 else data


def with_field(data: bytes, rng: np.random.Generator) -> bytes:
    """One field of a local header, an entry of the directory, or the end holds another number."""
    magic, size = one_of(rng, ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46), (b"PK\x05\x06", 22)))
    places = [at for at in range(len(data)) if data.startswith(magic, at)]
    at = one_of(rng, places) + int(rng.integers(2, size // 2)) * 2
    return data[:at] + struct.pack("<I", one_of(rng, NUMBERS)) + data[at + 4 :]


def import_pal(folder: Path, source: str, *more: str) -> Outcome:
    done = run(["shards", "import", "pal", source, "--out", "out", *more], cwd=folder, out="out")
    ends_well(done, folder / "out")
    return done


@pytest.mark.parametrize("seeds", batches(ci=24, slow=320, size=12))
def test_mutated_zips(seeds, tmp_path):
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "set.zip").write_bytes(pal_zip(seed))
        import_pal(folder, "set.zip")


# --- tables -----------------------------------------------------------------------------------------------------------


def hostile_columns(seed: int) -> dict[str, Any]:
    """Columns of a table of pictures that hold what they should not."""
    pa = pytest.importorskip("pyarrow")
    deep = [[[[[1]]]]]
    kinds = pa.struct({"bytes": pa.list_(pa.int64()), "path": pa.string()})
    cells = [
        {"image_0_uid": not_text(pa, b"\xff\xfe")},
        {"image_1_uid": not_text(pa, b"uid-1\xff")},
        {"image_0_uid": pa.array([1, 2]), "image_1_uid": pa.array([None, None], pa.null())},
        {"image_0_uid": pa.array([deep, None])},
        {"image_0_uid": pa.array(["uid-0", "x"]).dictionary_encode()},
        {"jpg_0": pa.array([deep, deep])},
        {"jpg_0": pa.array([{"bytes": [1, 2], "path": None}, None], kinds)},
        {"jpg_0": pa.array(["text", None])},
        {"caption": not_text(pa, b"\xff")},
        {"caption": pa.array(["c" * 200_000, "\0\x1b[2J"])},
        {"caption": pa.array([{"a": [1]}, None])},
        {"image_0_uid": pa.array([b"uid-0", b"\xff"])},
        {"jpg_0": pa.array([made.photo(0, (9000, 1), "PNG"), b""])},
    ]
    return cells[seed % len(cells)]


def not_text(pa: Any, first: bytes) -> Any:
    """A column of type string whose first cell is no UTF-8."""
    offsets = struct.pack("<3i", 0, len(first), len(first) + 5)
    return pa.StringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(first + b"other"))


@pytest.mark.parametrize("seeds", batches(ci=13, slow=100, size=13))
def test_mutated_tables_of_pictures(seeds, tmp_path):
    for seed in seeds:
        folder = tmp_path / str(seed)
        (folder / "richhf").mkdir(parents=True)
        (folder / "richhf" / "train.tfrecord").write_bytes(b"".join(map(made.frame, payloads())))
        table = folder / "pictures" / "train-0.parquet"
        pick_a_pic(table, **hostile_columns(seed))
        if seed >= 13:
            table.write_bytes(mutated(table.read_bytes(), seed, 64))
        import_richhf(folder, "--pictures", "pictures")


def hostile_maps() -> list[Any]:
    pa = pytest.importorskip("pyarrow")
    ragged, square = [[1, 2], [3]], [[0, 1], [1, 0]]
    return [
        pa.array([ragged, square]),
        pa.array([square, None]),
        pa.array([[[1, None], [None, 2]], []], pa.list_(pa.list_(pa.int64()))),
        pa.array([[None, [1]], [[1], [2]]], pa.list_(pa.list_(pa.int64()))),
        pa.array([[["a"]], [["b"]]]),
        pa.array([[[1e308, float("nan")]], [[float("inf")]]]),
        pa.array([[[-1, 256]], [[2**62]]]),
        pa.array([[{"a": 1}], []]),
        pa.array([{"bytes": None, "path": "/etc/passwd"}, {"bytes": MAP, "path": "../x"}]),
        pa.array([1, 2]),
        pa.array([MAP, MAP[:40]]),
        pa.array([True, None]),
    ]


@pytest.mark.parametrize("seeds", batches(ci=12, slow=100, size=12))
def test_mutated_joined_tables(seeds, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
    for seed in seeds:
        maps = hostile_maps()
        rows = {
            "filename": ["train/uid-0.png", "uid-1"] if seed % 5 else not_text(pa, b"\xff"),
            "image": [made.photo(0, (32, 32)), made.photo(1, (32, 32))],
            "artifact_map": maps[seed % len(maps)] if seed % 2 else pa.array([MAP, MAP]),
            "misalignment_map": maps[(seed * 7) % len(maps)],
            **{name: [SCORES[0], float("nan")] for name in names},
        }
        if seed % 3 == 0:
            rows |= {"artifact_score": ["x", "y"], "caption": not_text(pa, b"\xfe"), "overall_score": [2**62, -1]}
        folder = tmp_path / str(seed)
        (folder / "richhf").mkdir(parents=True)
        table = folder / "richhf" / "train-0.parquet"
        pq.write_table(pa.table(rows), table, compression=["snappy", "none", "zstd"][seed % 3])
        if seed >= 12:
            table.write_bytes(mutated(table.read_bytes(), seed, 64))
        import_richhf(folder)


# --- folders ----------------------------------------------------------------------------------------------------------


def special(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened, contextlib.chdir(path.parent):
            opened.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to("nowhere")


KINDS = ("FIFO", "socket", "device", "dangling link")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ldm/images/train/p0.png", "ldm/labels/train/p0.png"])
def test_special_files_among_the_pictures_are_rejected(tmp_path, kind, name):
    for place, data in pal_files().items():
        (tmp_path / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / place).write_bytes(data)
    (tmp_path / "set" / name).unlink()
    special(tmp_path / "set" / name, kind)
    assert import_pal(tmp_path, "set").code == 0
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out" / "excluded.jsonl").read_text().splitlines()]
    assert reasons == ["unreadable" if "images" in name else "mask_values"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_files_as_the_set_itself_are_one_line(tmp_path, kind):
    special(tmp_path / "set.zip", kind)
    assert import_pal(tmp_path, "set.zip").code == 2
    special(tmp_path / "train.tfrecord", kind)
    where = ["--out", "out", "--pictures", "."]
    assert run(["shards", "import", "richhf", "train.tfrecord", *where], cwd=tmp_path, out="out").code == 2
    (tmp_path / "sets").mkdir()
    special(tmp_path / "sets" / "train.parquet", kind)
    assert run(["shards", "import", "richhf", "sets", "--out", "out"], cwd=tmp_path, out="out").code == 2


# --- by hand ----------------------------------------------------------------------------------------------------------


def with_header(data: bytes, name: str, field: int, form: str, number: int, local: bool = False) -> bytes:
    """The zip with one field of the directory's entry of `name` (or of its local header) set."""
    magic, name_at = (b"PK\x03\x04", 30) if local else (b"PK\x01\x02", 46)
    places = [
        at for at in range(len(data)) if data.startswith(magic, at) and data.startswith(name.encode(), at + name_at)
    ]
    at = places[0] + field
    return data[:at] + struct.pack(form, number) + data[at + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("field", "form", "number", "reason"),
    [
        (8, "<H", 1, "unreadable"),  # encrypted
        (8, "<H", 0x41, "unreadable"),  # by strong encryption
        (10, "<H", 99, "unreadable"),  # a method that is none
        (20, "<I", 0xFFFFFFF0, "too_large"),  # packed size
        (24, "<I", 0xFFFFFFF0, "too_large"),  # size
        (24, "<I", 10, "unreadable"),
        (16, "<I", 7, "unreadable"),  # checksum
        (42, "<I", 0, "unreadable"),  # over the first member
    ],
)
def test_a_member_that_says_what_is_not_so_is_left_out(tmp_path, field, form, number, reason):
    name = "unified/images/test/ffhq_1.png"
    data = packed(list(pal_files().items()))
    (tmp_path / "set.zip").write_bytes(with_header(data, name, field, form, number))
    assert import_pal(tmp_path, "set.zip").code == 0
    left = [json.loads(line) for line in (tmp_path / "out" / "excluded.jsonl").read_text().splitlines()]
    assert (name, reason) in [(one["uri"], one["reason"]) for one in left]
    assert len(ShardReader(tmp_path / "out" / "my_set" / "val")) == 1


@pytest.mark.parametrize(("field", "number"), [(6, 200), (6, 0xFFFF)])
def test_a_zip_of_a_later_version_is_one_line(tmp_path, field, number):
    data = packed(list(pal_files().items()))
    (tmp_path / "set.zip").write_bytes(with_header(data, PLACES[0], field, "<H", number))
    assert "zip file version" in import_pal(tmp_path, "set.zip").err


def test_two_folders_that_meet_in_one_name_are_told_apart(tmp_path):
    label, names = pal_files()["my set/labels/val/a.png"], ("My Set", "my_set", "my-set", "_ldm_", "con", "ü" * 300)
    files = [
        (f"{name}/{kind}/test/a.png", label if kind == "labels" else made.photo(number, (32, 24), "PNG"))
        for number, name in enumerate(names)
        for kind in ("images", "labels")
    ]
    (tmp_path / "set.zip").write_bytes(packed(files))
    assert import_pal(tmp_path, "set.zip").code == 0
    folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert len(folders) == len(names)
    assert {"my_set", "my_set-2", "my_set-3", "ldm-2"} < set(folders)


def test_more_folders_than_are_read_are_one_line(tmp_path):
    (tmp_path / "set.zip").write_bytes(packed([(f"t{number}/images/test/a.png", b"x") for number in range(300)]))
    assert "300 folders" in import_pal(tmp_path, "set.zip").err


def test_a_caption_is_cut_and_a_name_longer_than_any_is_left_out(tmp_path):
    (tmp_path / "richhf").mkdir()
    names = ["train/uid-0.png", "train/" + "x/" * 4000 + "uid-1.png"]
    records = [made.frame(made.record(name, MAP, EMPTY, SCORES)) for name in names]
    (tmp_path / "richhf" / "train.tfrecord").write_bytes(b"".join(records))
    pick_a_pic(tmp_path / "pictures" / "train-0.parquet", caption=["c" * 50_000, "b"])
    assert import_richhf(tmp_path, "--pictures", "pictures").code == 0
    left = [json.loads(line) for line in (tmp_path / "out" / "excluded.jsonl").read_text().splitlines()]
    assert [one["reason"] for one in left] == ["corrupt_record"]
    assert "filename of 8015 characters" in left[0]["detail"]
    (sample,) = ShardReader(tmp_path / "out" / "train")
    assert sample.meta.source.caption == "c" * 4096
    assert sample.meta.extra["caption_characters"] == 50_000


def test_a_uid_that_is_no_utf_8_costs_no_other(tmp_path):
    (tmp_path / "richhf").mkdir()
    (tmp_path / "richhf" / "train.tfrecord").write_bytes(b"".join(map(made.frame, payloads()[:2])))
    pa = pytest.importorskip("pyarrow")
    pick_a_pic(tmp_path / "pictures" / "train-0.parquet", image_0_uid=not_text(pa, b"\xff"))
    assert import_richhf(tmp_path, "--pictures", "pictures").code == 0
    left = [json.loads(line)["reason"] for line in (tmp_path / "out" / "excluded.jsonl").read_text().splitlines()]
    assert left == ["picture_missing"]


def test_a_folder_that_is_not_looked_into_is_recorded(tmp_path):
    for place, data in pal_files().items():
        (tmp_path / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / place).write_bytes(data)
    (tmp_path / "set" / "cvton").symlink_to("ldm")
    (tmp_path / "set" / "ldm" / "images" / "val").symlink_to("..")  # round and round
    assert import_pal(tmp_path, "set").code == 0
    left = [json.loads(line) for line in (tmp_path / "out" / "excluded.jsonl").read_text().splitlines()]
    assert {one["uri"]: one["reason"] for one in left} == {"cvton": "unreadable", "ldm/images/val": "unreadable"}
