"""Exports read by what they are for: mmsegmentation's own data set, and a decoder of COCO's encoding of our own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_tools import files
from PIL import Image

from shards.__main__ import main
from shards.export.coco import annotations_of, packed, run_lengths
from shards.masks import Region
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


def decoded(segmentation: dict[str, Any]) -> np.ndarray[Any, Any]:
    """bool HW of COCO's compressed run lengths, character by character (after maskApi.c of cocoapi)."""
    lengths: list[int] = []
    place, text = 0, segmentation["counts"]
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 0x1F) << (5 * shift)
            more, place, shift = bool(code & 0x20), place + 1, shift + 1
            if not more and code & 0x10:
                value |= -1 << (5 * shift)
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    height, width = segmentation["size"]
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T


def test_coco_holds_the_masks(labelled_run: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert main(["export", "coco", str(labelled_run), "--out", str(out)]) == 0
    found = json.loads((out / "annotations" / "instances_train.json").read_text())
    reader = ShardReader(labelled_run)
    assert [one["name"] for one in found["categories"]] == ["artifact"]
    assert [one["id"] for one in found["images"]] == list(range(1, 7))
    assert len(found["annotations"]) == 2 * (3 + 1)  # two regions and one ignored; one region
    for picture in found["images"]:
        wanted = reader[reader.find(Path(picture["file_name"]).stem)]
        with Image.open(out / "train" / picture["file_name"]) as image:
            assert (image.width, image.height) == (picture["width"], picture["height"])
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), wanted.image)
        mask = np.zeros_like(wanted.mask)
        for one in found["annotations"]:
            if one["image_id"] == picture["id"]:
                region = decoded(one["segmentation"])
                x, y, width, height = one["bbox"]
                assert region.sum() == region[y : y + height, x : x + width].sum() == one["area"]
                mask[region] = 255 if one["iscrowd"] else 1
        np.testing.assert_array_equal(mask, wanted.mask)


def test_one_annotation_by_hand():
    mask = np.zeros((3, 4), np.uint8)
    mask[1:, 2] = 1
    assert run_lengths(Region.whole(mask == 1), mask.shape) == [7, 2, 3]
    assert run_lengths(Region.whole(mask == 0), mask.shape) == [0, 7, 2, 3]
    assert run_lengths(Region(1, 2, np.ones((2, 1), bool)), mask.shape) == [7, 2, 3]
    assert run_lengths(Region(0, 3, np.ones((3, 1), bool)), mask.shape) == [9, 3]
    assert list(annotations_of(mask)) == [
        {
            "category_id": 1,
            "iscrowd": 0,
            "area": 2,
            "bbox": [2, 1, 1, 2],
            "segmentation": {"size": [3, 4], "counts": "723"},
        }
    ]
    assert list(annotations_of(np.zeros((3, 4), np.uint8))) == []


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        # What pycocotools 2.0.11 gives for these: mask.frPyObjects({"size": [h, w], "counts": lengths}, h, w).
        ([6, 1, 40, 4, 5, 4, 5, 4, 21], "61X13mN000`0"),
        ([0, 100000], "0PeQ3"),
        ([1000, 1, 1, 998], "Xo011Uo0"),
    ],
)
def test_run_lengths_as_pycocotools_packs_them(lengths: list[int], text: str):
    assert packed(lengths) == text


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
