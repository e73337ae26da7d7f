"""The layout of MVTec AD, read by the rules of anomalib's data module `Folder`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_tools import files
from PIL import Image

from shards.__main__ import main
from shards.reader import ShardReader
from shards.writer import RunInfo, RunWriter

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def pictures(folder: Path) -> list[Path]:
    """As anomalib lists a folder: everything below it with the ending of a picture, in order of paths."""
    found = sorted(path for path in folder.glob("**/*") if path.suffix in SUFFIXES)
    assert found, f"anomalib refuses {folder}, which holds no pictures"
    return found


def defects(root: Path) -> list[tuple[Path, Path]]:
    """As anomalib pairs them: the n-th defect has the n-th mask, whose stem must hold that of the picture."""
    images, masks = pictures(root / "test" / "defect"), pictures(root / "ground_truth" / "defect")
    assert len(images) == len(masks)
    assert all(image.stem in mask.stem for image, mask in zip(images, masks, strict=True))
    return list(zip(images, masks, strict=True))


def mask_of(path: Path) -> Any:
    """bool HW; values between would be read differently by versions of anomalib, so there may be none."""
    with Image.open(path) as image:
        assert image.mode == "L"
        found = np.asarray(image)
    assert set(np.unique(found)) <= {0, 255}
    return found == 255


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("ignored", ["clean", "artifact"])
def test_anomalib_finds_normal_pictures_defects_and_masks(
    ignored: str, labelled_run: Path, tmp_path: Path, capsys: Any
):
    out = tmp_path / "out"
    assert main(["export", "anomalib", str(labelled_run), "--out", str(out), "--ignored", ignored]) == 0
    said = capsys.readouterr().out
    assert said.startswith("train: 4 test/defect, 2 train/good\n")
    assert 'normal_dir="train/good", abnormal_dir="test/defect", mask_dir="ground_truth/defect"' in said
    reader = ShardReader(labelled_run)
    for path in pictures(out / "train" / "good"):
        sample = reader[reader.find(path.stem)]
        assert sample.meta.label == "clean"
        np.testing.assert_array_equal(pixels(path), sample.image)
    pairs = defects(out)
    assert len(pairs) == 4
    for image, mask in pairs:
        sample = reader[reader.find(image.stem)]
        np.testing.assert_array_equal(pixels(image), sample.image)
        wanted = sample.mask > 0 if ignored == "artifact" else sample.mask == 1
        np.testing.assert_array_equal(mask_of(mask), wanted)


def test_a_test_run_and_twins(labelled_run: Path, tmp_path: Path, capsys: Any):
    out = tmp_path / "out"
    words = ["export", "anomalib", str(labelled_run), "--test", str(labelled_run), "--twins", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "train: 4 artifacts not written: anomalib trains on normal pictures, 6 train/good"
    assert said[1] == "test: 4 test/defect, 2 test/good"
    assert 'normal_test_dir="test/good"' in said[2]
    reader = ShardReader(labelled_run)
    twins = [path for path in pictures(out / "train" / "good") if path.stem.endswith("_twin")]
    assert len(twins) == 4
    for path in twins:
        sample = reader[reader.find(path.stem.removesuffix("_twin"))]
        np.testing.assert_array_equal(pixels(path), sample.source)
    assert len(defects(out)) == 4
    before = files(out)
    assert main(words) == 0
    assert files(out) == before


def test_what_is_neither_normal_nor_a_defect(tmp_path: Path, sample: Any, capsys: Any):
    run = RunWriter(tmp_path / "run", RunInfo({}, {"name": "set", "items": 2}, 1))
    with run.shard(0) as shard:
        shard.write(sample(0, 0, artifact=True))
        doubtful = sample(0, 1, artifact=False)
        doubtful.mask[2:4, 2:4] = 255
        shard.write(doubtful)
    run.finalise()
    words = ["export", "anomalib", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "train: 1 left out: all their marked pixels are ignored, 1 test/defect\n"
    assert said.err.startswith("error: ")
    assert "holds no clean sample to train on" in said.err
    shutil.rmtree(tmp_path / "out")
    assert main([*words, "--twins"]) == 0
    assert [path.name for path in pictures(tmp_path / "out" / "train" / "good")] == ["00000_00000_twin.webp"]
