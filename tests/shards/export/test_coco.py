"""COCO's annotations, read by decoders of run lengths and polygons of our own, and by pycocotools where it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from shards.__main__ import main
from shards.export.coco import annotations_of, packed
from shards.masks import label_components
from shards.reader import ShardReader


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
    facts = {"category_id": 1, "iscrowd": 0, "area": 2, "bbox": [2, 1, 1, 2]}
    whole = {"size": [3, 4], "counts": "723"}
    assert annotations_of([mask]) == [[{**facts, "segmentation": whole}]]
    assert annotations_of([mask], polygons=True) == [[{**facts, "segmentation": [[2, 1, 3, 1, 3, 3, 2, 3]]}]]
    assert annotations_of([np.zeros((3, 4), np.uint8)], polygons=True) == [[]]


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


def test_polygons_by_hand():
    ring, corners = np.ones((3, 3), np.uint8), np.eye(2, dtype=np.uint8)
    ring[1, 1] = 0
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.uint8)
    ignored = np.full((2, 2), 255, np.uint8)
    (one,), (two,), (three,), (four,) = annotations_of([ring, corners, diamond, ignored], polygons=True)
    assert one["segmentation"] == {"size": [3, 3], "counts": "0410"}, "a hole has no polygon"
    assert two["segmentation"] == [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 2, 1, 2, 2, 1, 2]]
    assert len(three["segmentation"]) == 4, "what is closed by corners alone is no hole"
    assert (four["iscrowd"], four["segmentation"]["counts"]) == (1, "04")


def filled(outline: list[int], height: int, width: int) -> np.ndarray[Any, Any]:
    """bool HW of a polygon, after rleFrPoly of pycocotools (common/maskApi.c), which walks along it at five times the
    size and keeps where it crosses the middles of columns."""
    scale = 5.0
    xs = [int(scale * x + 0.5) for x in [*outline[::2], outline[0]]]
    ys = [int(scale * y + 0.5) for y in [*outline[1::2], outline[1]]]
    us, vs = [], []
    for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
        across, down = abs(x1 - x0), abs(y1 - y0)
        steps = max(across, down)
        flip = (across >= down and x0 > x1) or (across < down and y0 > y1)
        (xb, yb), (xe, ye) = ((x1, y1), (x0, y0)) if flip else ((x0, y0), (x1, y1))
        slope = ((ye - yb) / across if across else 0) if across >= down else (xe - xb) / down
        for step in range(steps + 1):
            t = steps - step if flip else step
            us.append(t + xb if across >= down else int(xb + slope * t + 0.5))
            vs.append(int(yb + slope * t + 0.5) if across >= down else t + yb)
    places = []
    for before, u, v0, v1 in zip(us, us[1:], vs, vs[1:], strict=False):
        x = ((u if u < before else u - 1) + 0.5) / scale - 0.5
        if u == before or x != int(x) or not 0 <= x <= width - 1:
            continue
        y = min(max((min(v0, v1) + 0.5) / scale - 0.5, 0), height)
        places.append(int(x) * height + int(np.ceil(y)))
    flips = np.bincount(places, minlength=height * width + 1)[:-1]
    return (np.cumsum(flips) % 2 == 1).reshape(width, height).T


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]))
def test_every_segmentation_holds_its_region(height: int, width: int, seed: int, share: float):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    labels, count = label_components(mask)
    for polygons in (False, True):
        (annotations,) = annotations_of([mask], polygons)
        assert len(annotations) == count
        for number, one in enumerate(annotations, 1):
            segmentation, region = one["segmentation"], labels == number
            if isinstance(segmentation, dict):
                found = decoded(segmentation)
                is_closed = ndimage.label(np.pad(~region, 1, constant_values=True), np.ones((3, 3)))[1] > 1
                assert is_closed or not polygons, "without a hole there is a polygon"
            else:
                found = np.logical_or.reduce([filled(outline, height, width) for outline in segmentation])
                points = [np.reshape(outline, (-1, 2)) for outline in segmentation]
                doubled = sum(abs(int(np.cross(p, np.roll(p, -1, 0)).sum())) for p in map(as_3d, points))
                assert doubled == 2 * one["area"]
            np.testing.assert_array_equal(found, region)
            x, y, w, h = one["bbox"]
            assert one["area"] == region.sum() == region[y : y + h, x : x + w].sum()
            assert all(line.any() for line in (region[y], region[y + h - 1], region[:, x], region[:, x + w - 1]))


def as_3d(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """numpy's cross product is of three dimensions."""
    return np.pad(points, ((0, 0), (0, 1)))


@pytest.mark.parametrize("kind", ["rle", "polygon"])
def test_pycocotools_reads_them(kind: str, labelled_run: Path, tmp_path: Path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    out = tmp_path / "out"
    assert main(["export", "coco", str(labelled_run), "--out", str(out), "--segmentation", kind]) == 0
    found, reader = coco.COCO(str(out / "annotations" / "instances_train.json")), ShardReader(labelled_run)
    for number in found.getImgIds():
        mask = reader.mask(number - 1)
        seen = np.zeros_like(mask)
        for one in found.loadAnns(found.getAnnIds(number)):
            region = found.annToMask(one).astype(bool)
            assert region.sum() == one["area"]
            seen[region] = 255 if one["iscrowd"] else 1
        np.testing.assert_array_equal(seen, mask)


def test_another_segmentation_is_another_export(labelled_run: Path, tmp_path: Path, capsys: Any):
    words = ["export", "coco", str(labelled_run), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert main([*words, "--segmentation", "polygon"]) == 2
    assert "holds another export" in capsys.readouterr().err
