"""Exports of files: mmsegmentation's own data set reads them; resuming; processes; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_tools import files

from shards.__main__ import main
from shards.reader import ShardReader


def test_mmsegmentation_reads_what_was_written(labelled_run: Path, tmp_path: Path, capsys: Any):
    from mmengine.config import Config

    from detector.compat import load_mmseg

    load_mmseg()
    from mmseg.registry import DATASETS

    out = tmp_path / "out"
    assert main(["export", "mmseg", str(labelled_run), "--val", str(labelled_run), "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("6 samples (4 artifact, 2 clean)") == 2
    moved = out.rename(tmp_path / "moved")
    config = Config.fromfile(moved / "dataset.py")
    reader = ShardReader(labelled_run)
    for split in ("train", "val"):
        dataset = DATASETS.build(config[f"{split}_dataloader"].dataset)
        assert dataset.metainfo["classes"] == ("clean", "artifact")
        assert len(dataset) == len(reader)
        for index in range(len(dataset)):
            found = dataset[index]
            wanted = reader[reader.find(Path(found["img_path"]).stem)]
            np.testing.assert_array_equal(found["img"][..., ::-1], wanted.image)  # BGR
            np.testing.assert_array_equal(found["gt_seg_map"], wanted.mask)


@pytest.mark.parametrize("layout", ["mmseg", "coco", "anomalib", "labelstudio"])
def test_a_second_call_resumes_and_another_run_is_refused(
    layout: str, labelled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = ["--address", "pictures/"] if layout == "labelstudio" else []
    assert main(["export", layout, str(labelled_run), "--out", str(whole), *options]) == 0
    words = ["export", layout, str(labelled_run), "--out", str(out), *options]
    member, left = ShardReader.member, [9]

    def fails(self: ShardReader, index: int, name: str) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return member(self, index, name)

    monkeypatch.setattr(ShardReader, "member", fails)
    assert main(words) == 130
    monkeypatch.undo()
    half = [name for name in files(out) if name.endswith(".webp")]
    assert 0 < len(half) < 6
    assert main(words) == 0
    assert files(out) == files(whole)
    for name in files(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    capsys.readouterr()
    other = shutil.copytree(labelled_run, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["shards"][1]["sha256"] = "0" * 64
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert main(["export", layout, str(other), "--out", str(out), *options]) == 2
    assert "holds another export (train.00001.tar: " in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert main(["export", layout, str(labelled_run), "--out", str(tmp_path / "mine")]) == 2
    assert "holds other files (file)" in capsys.readouterr().err
    assert files(tmp_path / "mine") == ["file"]


def test_what_cannot_be_exported(labelled_run: Path, tmp_path: Path, run_maker: Any, capsys: Any):
    tars = tmp_path / "tars"
    tars.mkdir()
    for number, name in enumerate(("00000.tar", "00001.tar")):
        shutil.copyfile(labelled_run / "shards" / "00000.tar", tars / name)
        assert main(["export", "coco", str(tars), "--out", str(tmp_path / "out")]) == (2 if number else 0)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert "several samples have the same key" in capsys.readouterr().err
    assert main(["export", "mmseg", "nothing", "--out", str(tmp_path / "out")]) == 2
    assert "shards nothing do not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["mmseg", "coco", "anomalib", "labelstudio"])
def test_files_do_not_depend_on_the_number_of_processes(layout: str, tmp_path: Path, run_maker: Any):
    run_maker(tmp_path / "run", num_shards=2, rows=70)
    for number in (1, 3):
        words = [
            "export",
            layout,
            str(tmp_path / "run"),
            "--out",
            str(tmp_path / str(number)),
            "--processes",
            str(number),
        ]
        assert main([*words, *(["--address", "pictures/"] if layout == "labelstudio" else [])]) == 0
    assert files(tmp_path / "1") == files(tmp_path / "3")
    for name in files(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_a_damaged_mask_is_one_line_whoever_reads_it(labelled_run: Path, tmp_path: Path, capsys: Any):
    tar = labelled_run / "shards" / "00001.tar"
    data = tar.read_bytes()
    tar.write_bytes(data.replace(b"IDAT", b"IDAX", 1))
    for number in (1, 2):
        words = ["export", "mmseg", str(labelled_run), "--out", str(tmp_path / str(number)), "--processes", str(number)]
        assert main(words) == 2
        assert "mask cannot be decoded" in capsys.readouterr().err
    assert main(["export", "mmseg", str(labelled_run), "--out", str(tmp_path / "out"), "--processes", "-1"]) == 2
    assert "--processes -1: at least 1" in capsys.readouterr().err
