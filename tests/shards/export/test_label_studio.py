"""Tasks for Label Studio: its brush is unpacked here bit by bit, as @thi.ng/rle-pack does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shards.__main__ import main
from shards.export.labelstudio import brush
from shards.export.runs import regions_of_each
from shards.reader import ShardReader


class Bits:
    """Bits of bytes, the highest first."""

    def __init__(self, data: list[int]) -> None:
        self.data, self.place = bytes(data), 0

    def read(self, size: int) -> int:
        value = 0
        for _ in range(size):
            value = value << 1 | self.data[self.place >> 3] >> (7 - (self.place & 7)) & 1
            self.place += 1
        return value


def unpacked(data: list[int]) -> np.ndarray[Any, Any]:
    """Values of rle-pack's `decode`."""
    bits = Bits(data)
    count, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        is_run = bits.read(1)
        end = at + 1 + bits.read(sizes[bits.read(2)])
        if is_run:
            values[at:end] = bits.read(word)
            at = end
        while at < end:
            values[at] = bits.read(word)
            at += 1
    assert at == count
    assert len(data) == -(-bits.place // 8)
    return values


def painted(data: list[int], height: int, width: int) -> np.ndarray[Any, Any]:
    """bool HW of a brush: Label Studio shows the pixels whose alpha is not 0."""
    return unpacked(data).reshape(height, width, 4)[..., 3] > 0


def stroke(region: np.ndarray[Any, Any]) -> list[int]:
    """Of all pixels that are True, of which there is one at least."""
    ((whole,),) = regions_of_each([region], 1, down=False, joined=False)
    return brush(whole, region.shape)


def test_a_brush_by_hand():
    region = np.array([[False, True, True]])
    head = f"{12:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    runs = "1" + "00" + "011" + "00000000" + "1" + "00" + "111" + "11111111"
    text = head + runs
    text += "0" * (-len(text) % 8)
    assert stroke(region) == [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_brushes_come_back(height: int, width: int, seed: int, share: float):
    region = np.random.default_rng(seed).random((height, width)) < share
    region[height // 2, width // 3] = True
    np.testing.assert_array_equal(painted(stroke(region), height, width), region)


@pytest.mark.parametrize("side", [128, 130, 300])
def test_runs_of_more_than_65536_values(side: int):
    region = np.zeros((side, side), bool)
    region[side // 2 :, 3:] = True
    np.testing.assert_array_equal(painted(stroke(region), side, side), region)


def test_tasks_hold_pictures_and_masks(labelled_run: Path, tmp_path: Path, monkeypatch: Any, capsys: Any):
    monkeypatch.setattr("shards.export.labelstudio.TASKS", 4)
    out = tmp_path / "my tasks"
    assert main(["export", "labelstudio", str(labelled_run), "--out", str(out)]) == 0
    assert "6 samples (4 artifact, 2 clean) as tasks in 2 files" in capsys.readouterr().out
    names = sorted(path.name for path in out.glob("tasks-*.json"))
    assert names == ["tasks-00000.json", "tasks-00001.json"]
    lists = [json.loads((out / name).read_text()) for name in names]
    assert [len(tasks) for tasks in lists] == [4, 2]
    reader = ShardReader(labelled_run)
    (shown,) = ElementTree.parse(out / "label_config.xml").getroot().iter("Image")
    (brushes,) = ElementTree.parse(out / "label_config.xml").getroot().iter("BrushLabels")
    labels = {label.get("value") for label in brushes.iter("Label")}
    assert shown.get("value") == "$image"
    for index, task in enumerate(task for tasks in lists for task in tasks):
        where = urlparse(task["data"]["image"])
        assert where.path == "/data/local-files/"
        picture = tmp_path / parse_qs(where.query)["d"][0]  # the document root is the folder above
        sample = reader[index]
        with Image.open(picture) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), sample.image)
        (prediction,) = task["predictions"]
        mask = np.zeros_like(sample.mask)
        for result in prediction["result"]:
            assert result["from_name"] == brushes.get("name")
            assert result["to_name"] == brushes.get("toName") == shown.get("name")
            assert (result["original_height"], result["original_width"]) == mask.shape
            (label,) = result["value"]["brushlabels"]
            assert label in labels
            mask[painted(result["value"]["rle"], *mask.shape)] = 1 if label == "artifact" else 255
        np.testing.assert_array_equal(mask, sample.mask)
    assert [len(task["predictions"][0]["result"]) for task in lists[0]] == [0, 3, 1, 0]


def test_pictures_behind_an_address(labelled_run: Path, tmp_path: Path):
    words = ["export", "labelstudio", str(labelled_run), "--out", str(tmp_path / "out"), "--address"]
    assert main([*words, "s3://bucket/pictures/"]) == 0
    first = json.loads((tmp_path / "out" / "tasks-00000.json").read_text())[0]
    assert first["data"]["image"] == "s3://bucket/pictures/00000_00000.webp"
    assert main([*words, "s3://other/"]) == 2  # another address is another export
