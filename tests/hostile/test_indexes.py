"""Index files beside tars: one that does not fit its tars, or is no index at all, is made anew without a word."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import batches, run, run_apart
from mutate import mutated
from test_tars import sound_tar

from shards.reader import ShardReader
from shards.shard_index import INDEX_NAME
from shards.source import open_source

Arrays = dict[str, Any]
Change = Callable[[Arrays], Arrays]


def arrays_of(path: Path) -> Arrays:
    with np.load(path) as stored:
        return {name: stored[name].copy() for name in stored.files}


def write(path: Path, arrays: Arrays, pack: Callable[..., None] = np.savez) -> None:
    buffer = io.BytesIO()
    pack(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


def at(name: str, place: Any, value: Any) -> Change:
    """Change one value of an array."""

    def change(arrays: Arrays) -> Arrays:
        arrays[name][place] = value
        return arrays

    return change


def put(name: str, value: Callable[[Any], Any]) -> Change:
    return lambda arrays: {**arrays, name: value(arrays[name])}


OF_ANY: dict[str, Change] = {
    "spans beyond the file": at("spans", (0, 0), (512, 1 << 40)),
    "offset beyond the file": at("spans", (0, 0, 0), 1 << 40),
    "sizes of 2**62": at("spans", (0, 0, 1), 1 << 62),
    "both of 2**62": at("spans", (0, 0), (1 << 62, 1 << 62)),
    "negative size": at("spans", (0, 0, 1), -5),
    "negative offset": at("spans", (0, 0, 0), -512),
    "offset of no header": at("spans", (0, 0), (1024, 3)),
    "spans fewer": put("spans", lambda spans: spans[:-1]),
    "spans of two axes": put("spans", lambda spans: spans[:, :, 0]),
    "spans float": put("spans", lambda spans: spans.astype(float)),
    "spans int32": put("spans", lambda spans: spans.astype(np.int32)),
    "spans complex": put("spans", lambda spans: spans.astype(complex)),
    "an array more": lambda arrays: {**arrays, "more": np.zeros(3)},
    "an array less": lambda arrays: {name: value for name, value in arrays.items() if name != "spans"},
    "objects": put("spans", lambda spans: np.array([{"a": 1}], object)),
    "a record": put("spans", lambda spans: np.zeros(3, [("a", "i8"), ("b", "S3")])),
    "nothing": lambda arrays: {},
}
OF_SHARDS: dict[str, Change] = {
    "keys numbers": put("keys", lambda keys: np.arange(len(keys))),
    "keys text": put("keys", lambda keys: keys.astype(str)),
    "keys fewer": put("keys", lambda keys: keys[:1]),
    "keys absolute": put("keys", lambda keys: np.array([b"/abs_1"] * len(keys))),
    "keys of others": put("keys", lambda keys: np.array([b"00009_00009"] * len(keys))),
    "keys with zeros": put("keys", lambda keys: np.array([b"0000\x000_00001"] * len(keys))),
    "keys long": put("keys", lambda keys: np.array([b"0" * 5000 + b"_00000"] * len(keys))),
    "shards 99": put("shards", lambda shards: shards + np.int32(99)),
    "shards negative": put("shards", lambda shards: shards - np.int32(1)),
    "shards text": put("shards", lambda shards: np.array(["x"] * len(shards))),
    "shards of two axes": put("shards", lambda shards: shards[:, None]),
    "shards downwards": put("shards", lambda shards: shards[::-1].copy()),
    "stamp of numbers": put("stamp", lambda stamp: stamp.astype(np.int64)),
    "samples swapped": put("spans", lambda spans: spans[::-1].copy()),
    "no member there": at("spans", 1, -1),
}
OF_TARS: dict[str, Change] = {
    "ends beyond": at("ends", -1, 1 << 40),
    "ends downwards": put("ends", lambda ends: ends[::-1].copy()),
    "ends negative": at("ends", 0, -9),
    "names gone": put("names", lambda names: names[:0]),
    "sides negative": at("sides", 0, -1),
    "kinds 99": at("kinds", 0, 99),
    "kinds negative": at("kinds", 0, -1),
    "resume far": at("numbers", 1, 1 << 62),
    "resume below": at("numbers", 1, -7),
    "another version": at("numbers", 0, 1),
    "a flaw unknown": put("text", lambda text: np.frombuffer(text.tobytes() + b"\n!no_such_reason x", np.uint8)),
    "text gone": put("text", lambda text: text[:0]),
    "text no UTF-8": put("text", lambda text: np.frombuffer(b"\xff\xfe" + text.tobytes(), np.uint8)),
}


def facts_of_shards(folder: Path) -> Any:
    reader = ShardReader(folder)
    return [(reader.key(index), reader.members(index)) for index in range(len(reader))]


def facts_of_tar(path: Path) -> Any:
    source = open_source("webdataset", tars=str(path))
    return [(one.uri, getattr(one, "sha256", "")) for one in source]


@pytest.mark.parametrize("case", {**OF_ANY, **OF_SHARDS})
def test_hostile_index_of_shards(finished_run: Path, case: str):
    expected = facts_of_shards(finished_run)
    index = finished_run / "shards" / INDEX_NAME
    sound = index.read_bytes()
    write(index, {**OF_ANY, **OF_SHARDS}[case](arrays_of(index)))
    run(["shards", "show", "run", "--out", "sheet.png"], finished_run.parent, out="sheet.png", codes=(0,))
    assert index.read_bytes() == sound, "made anew"
    assert facts_of_shards(finished_run) == expected


@pytest.mark.parametrize("case", {**OF_ANY, **OF_TARS})
def test_hostile_index_of_a_tar(tmp_path: Path, case: str):
    path, index = tmp_path / "a.tar", tmp_path / ".a.tar.index.npz"
    path.write_bytes(sound_tar())
    expected = facts_of_tar(path)
    sound = index.read_bytes()
    write(index, {**OF_ANY, **OF_TARS}[case](arrays_of(index)))
    run(["shards", "index", "a.tar"], tmp_path, codes=(0,))
    assert index.read_bytes() == sound, "made anew"
    assert facts_of_tar(path) == expected


def bomb(arrays: Arrays) -> bytes:
    """An index whose spans are 2 GB of zeros, packed."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if name != "spans"})
    with (
        zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as stored,
        stored.open("spans.npy", "w", force_zip64=True) as file,
    ):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": (1 << 26, 8)})
        file.write(head.getvalue())
        for _ in range(1 << 8):
            file.write(bytes(1 << 24))
    return buffer.getvalue()


def test_a_packed_index_and_a_large_one(finished_run: Path):
    expected = facts_of_shards(finished_run)
    index = finished_run / "shards" / INDEX_NAME
    write(index, arrays_of(index), np.savez_compressed)
    assert facts_of_shards(finished_run) == expected
    index.write_bytes(b"PK")
    os.truncate(index, 5 << 30)
    run_apart(["shards", "show", "run", "--out", "sheet.png"], finished_run.parent, out="sheet.png", codes=(0,))
    assert facts_of_shards(finished_run) == expected


@pytest.mark.slow
def test_an_index_that_unpacks_to_gigabytes(finished_run: Path):
    expected = facts_of_shards(finished_run)
    index = finished_run / "shards" / INDEX_NAME
    index.write_bytes(bomb(arrays_of(index)))
    run_apart(["shards", "show", "run", "--out", "sheet.png"], finished_run.parent, out="sheet.png", codes=(0,))
    assert facts_of_shards(finished_run) == expected


def header_of(text: bytes) -> bytes:
    """A .npy whose header is this text."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


HEADS = {
    "expression": b"{'descr': __import__('os').system('touch CANARY'), 'fortran_order': False, 'shape': (1,)}",
    "deep": b"(" * 3000 + b")" * 3000,
    "huge shape": b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999, 8, 2)}",
    "negative shape": b"{'descr': '<i8', 'fortran_order': False, 'shape': (-1, 8, 2)}",
    "zeros": b"{'descr': '<i8', 'fortran_order': False, 'shape': (0, 8, 2)}",
    "no numbers": b"{'descr': '|V0', 'fortran_order': False, 'shape': (5, 8, 2)}",
    "objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "empty": b"",
}


@pytest.mark.parametrize("case", HEADS)
def test_headers_of_arrays(finished_run: Path, case: str):
    expected = facts_of_shards(finished_run)
    index = finished_run / "shards" / INDEX_NAME
    with zipfile.ZipFile(index) as stored:
        entries = {name: stored.read(name) for name in stored.namelist()}
    for name in entries:
        with zipfile.ZipFile(index, "w") as stored:
            for other, data in entries.items():
                stored.writestr(other, header_of(HEADS[case]) + bytes(64) if other == name else data)
        assert facts_of_shards(finished_run) == expected
    assert not list(finished_run.rglob("CANARY"))


@pytest.mark.parametrize("seeds", batches(ci=15, slow=300))
def test_mutated_indexes(finished_run: Path, tmp_path: Path, seeds: range):
    expected = facts_of_shards(finished_run)
    path, beside = tmp_path / "a.tar", tmp_path / ".a.tar.index.npz"
    path.write_bytes(sound_tar())
    expected_of_tar = facts_of_tar(path)
    index = finished_run / "shards" / INDEX_NAME
    sound, sound_of_tar = index.read_bytes(), beside.read_bytes()
    for seed in seeds:
        index.write_bytes(mutated(sound, seed, block=64))
        run(["shards", "show", "run", "--out", "sheet.png"], tmp_path, out="sheet.png", codes=(0,))
        assert facts_of_shards(finished_run) == expected
        beside.write_bytes(mutated(sound_of_tar, seed, block=64))
        run(["shards", "index", "a.tar"], tmp_path, codes=(0,))
        assert facts_of_tar(path) == expected_of_tar
