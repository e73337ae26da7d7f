"""Parquet exports, read by `datasets` and, for pairs, as Diffusion-DPO's training reads Pick-a-Pic."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_tools import files
from PIL import Image

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from shards.__main__ import main
from shards.export import tables
from shards.export.tables import cut
from shards.reader import ShardReader
from shards.schema import decode_meta
from shards.writer import RunInfo, RunWriter

pq = pytest.importorskip("pyarrow.parquet")


def loaded(folder: Path, cache: Path, split: str = "train") -> Any:
    datasets = pytest.importorskip("datasets", reason="the dev extra is not installed")
    return datasets.load_dataset(str(folder), split=split, cache_dir=str(cache))


def test_datasets_reads_pictures_masks_and_facts(labelled_run: Path, tmp_path: Path, capsys: Any):
    out = tmp_path / "out"
    words = ["export", "parquet", str(labelled_run), "--val", str(labelled_run), "--out", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out.count("6 rows") == 2
    reader = ShardReader(labelled_run)
    for split in ("train", "val"):
        rows = loaded(out, tmp_path / "cache", split)
        assert len(rows) == len(reader)
        for row, sample in zip(rows, reader, strict=True):
            assert row["key"] == sample.key
            np.testing.assert_array_equal(np.asarray(row["image"].convert("RGB")), sample.image)
            np.testing.assert_array_equal(np.asarray(row["source"].convert("RGB")), sample.source)
            shown = np.asarray(row["mask"])
            np.testing.assert_array_equal(np.select([shown == 255, shown == 128], [1, 255], 0), sample.mask)
            assert rows.features["label"].int2str(row["label"]) == sample.meta.label
            assert decode_meta(row["meta"].encode()) == sample.meta
            assert row["artifact_area"] == sample.meta.mask.area
            assert row["change_inside"] == sample.meta.change.inside
            assert row["start_step"] == sample.meta.corruption.start_step
            assert row["source_uri"] == sample.meta.source.uri


def test_pairs_as_training_reads_them(labelled_run: Path, tmp_path: Path, capsys: Any):
    out = tmp_path / "out"
    assert main(["export", "dpo", str(labelled_run), "--out", str(out), "--prompt", "a picture"]) == 0
    assert capsys.readouterr().out == f"train: 4 pairs in {out}; no pair: 2 clean samples\n"
    reader = ShardReader(labelled_run)
    rows = loaded(out, tmp_path / "cache")
    assert len(rows) == 4
    assert {row["label_0"] for row in rows} == {0.0, 1.0}  # by chance of the keys, which do not change
    for row in rows:
        both = [np.asarray(Image.open(io.BytesIO(row[name])).convert("RGB")) for name in ("jpg_0", "jpg_1")]
        assert row["label_0"] + row["label_1"] == 1
        if row["label_0"] == 0:
            both.reverse()
        sample = reader[reader.find(row["best_image_uid"].removesuffix("-clean"))]
        np.testing.assert_array_equal(both[0], sample.source)
        np.testing.assert_array_equal(both[1], sample.image)
        assert row["best_image_uid"] == row["image_0_uid" if row["label_0"] else "image_1_uid"]
        assert row["caption"] == "a picture"
        assert row["has_label"] is True


def test_a_run_without_twins_gives_rows_but_no_pairs(tmp_path: Path, sample: Any, capsys: Any):
    import dataclasses

    run = RunWriter(tmp_path / "run", RunInfo({}, {"name": "set", "items": 2}, 1))
    with run.shard(0) as shard:
        for row in range(2):
            shard.write(dataclasses.replace(sample(0, row, artifact=row > 0), source=None))
    run.finalise()
    assert main(["export", "parquet", str(tmp_path / "run"), "--out", str(tmp_path / "rows")]) == 0
    assert [row["source"] for row in loaded(tmp_path / "rows", tmp_path / "cache")] == [None, None]
    capsys.readouterr()
    assert main(["export", "dpo", str(tmp_path / "run"), "--out", str(tmp_path / "pairs")]) == 2
    said = capsys.readouterr()
    assert "0 pairs" in said.out
    assert "1 clean samples, 1 artifacts without a clean twin" in said.out
    assert said.err.startswith("error: there is no pair")


def test_cutting_by_hand():
    sizes = np.array([3, 3, 3, 9, 1, 1])
    assert cut(sizes, 6, 10) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert cut(sizes, 100, 4, start=10) == [(10, 14), (14, 16)]
    assert cut(sizes[:0], 6, 10, start=7) == [(7, 7)]


@pytest.mark.parametrize("layout", ["parquet", "dpo"])
def test_files_and_row_groups_are_bounded_and_a_stopped_export_resumes(
    layout: str, labelled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    reader = ShardReader(labelled_run)
    sizes = reader.sizes()
    assert sizes.tolist() == [sum(map(len, reader.members(index).values())) for index in range(len(reader))]
    monkeypatch.setattr(tables, "FILE_BYTES", int(max(sizes[:3].sum(), sizes[3:].sum())))
    monkeypatch.setattr(tables, "GROUP_ROWS", 2)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(["export", layout, str(labelled_run), "--out", str(whole)]) == 0
    told = capsys.readouterr().out.replace(str(whole), str(out))
    names = [f"data/train-0000{number}-of-00002.parquet" for number in range(2)]
    assert files(whole) == ["README.md", *names, "export.json"]
    groups = [pq.ParquetFile(whole / name).metadata for name in names]
    if layout == "parquet":
        assert [[one.row_group(at).num_rows for at in range(one.num_row_groups)] for one in groups] == [[2, 1]] * 2
        features = json.loads(groups[0].metadata[b"huggingface"])["info"]["features"]
        assert features["image"] == {"_type": "Image"}
        kept = {one["path_in_schema"]: one for one in groups[0].row_group(0).to_dict()["columns"]}
        assert kept["image.bytes"]["compression"] == "UNCOMPRESSED"
        assert kept["image.bytes"]["statistics"] is None
    words = ["export", layout, str(labelled_run), "--out", str(out)]
    member = ShardReader.member

    def fails(self: ShardReader, index: int, name: str) -> bytes:
        if index == 4:  # in the second file
            raise KeyboardInterrupt
        return member(self, index, name)

    with monkeypatch.context() as patch:
        patch.setattr(ShardReader, "member", fails)
        assert main(words) == 130
    assert files(out) == [names[0], "export.json"]
    made = (out / names[0]).stat().st_mtime_ns
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out == told  # counts of what was there are counted
    assert (out / names[0]).stat().st_mtime_ns == made
    for name in files(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    (out / names[1]).write_bytes(b"PAR1 cut short")
    assert main(words) == 0
    assert (out / names[1]).read_bytes() == (whole / names[1]).read_bytes()


def test_without_pyarrow_one_line_says_what_to_install(
    labelled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", "parquet", str(labelled_run), "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'blemish[tables]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line(labelled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    import errno

    from shards.files import HashingFile, explain

    def full(self: HashingFile, data: bytes) -> int:
        raise explain(OSError(errno.ENOSPC, "No space left on device"), self.path)

    monkeypatch.setattr(HashingFile, "write", full)
    with monkeypatch.context() as patch:
        patch.setattr("shards.claims.write_json", lambda path, value: path.write_text(json.dumps(value)))
        assert main(["export", "parquet", str(labelled_run), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "no space left" in said[0]
