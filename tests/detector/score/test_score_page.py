"""The page of a scoring: what is found, missed and false, from the worst picture to the best."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detector.__main__ import main
from detector.score.page import FALSE, HIT, IGNORED, MISSED, compared
from shards.reader import ShardReader


def page_data(out: Path) -> dict[str, Any]:
    text = (out / "view" / "index.html").read_text()
    found: dict[str, Any] = json.loads(text[text.index("const data=") + 11 :].split("\n")[0].removesuffix(";"))
    return found


def score(run: Path, tmp_path: Path, *options: str) -> Path:
    """Predictions of a run of 8 samples: the truth, but for one picture that is missed and one false alarm."""
    reader = ShardReader(run)
    (tmp_path / "pred").mkdir()
    for index in range(len(reader)):
        heat = np.uint8(230) * (reader.mask(index) == 1)
        if index == 6:
            heat[:] = 0
        if index == 2:
            heat[0:2, 0:8] = 240
        Image.fromarray(heat).save(tmp_path / "pred" / f"{reader.key(index)}.png")
    arguments = ["--pred", str(tmp_path / "pred"), "--truth", str(run), "--out", str(tmp_path / "scores")]
    assert main(["score", *arguments, "--bootstrap", "0", "--kind", "scores", *options]) == 0
    return tmp_path / "scores"


def test_the_worst_come_first(finished_run: Path, tmp_path: Path):
    out = score(finished_run, tmp_path)
    data = page_data(out)
    assert data["keys"][:3] == ["00001_00002", "00000_00002", "00000_00000"]
    columns = {column["name"]: column for column in data["columns"]}
    assert columns["wrong"]["values"][:3] == [0.1094, 0.01562, 0]  # 112 and 16 of 1024 pixels
    words = columns["outcome"]["words"]
    assert [words[place] for place in columns["outcome"]["values"]] == [
        "missed",
        "false alarm",
        *["rightly clean"] * 4,
        *["found"] * 2,
    ]
    assert columns["IoU"]["values"][:3] == [0, 0, 1]
    entries = json.loads(re.search(r",(\[.*\])\);", (out / "view" / data["files"][0]).read_text(), re.DOTALL)[1])  # type: ignore[index]
    missed = np.asarray(Image.open(io.BytesIO(base64.b64decode(entries[0]["pictures"][3][22:]))).convert("RGBA"))
    assert missed[5, 7, :3].tolist() == [30, 90, 230]
    assert (missed[..., 3] > 0).sum() == 112
    assert len(entries[0]["pictures"]) == 5


def test_few_or_no_page(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = score(finished_run, tmp_path, "--page", "2")
    assert page_data(out)["keys"] == ["00001_00002", "00000_00002"]
    assert "the 2 with most wrong pixels of 8 images" in (out / "view" / "index.html").read_text()
    options = ["--pred", str(tmp_path / "pred"), "--truth", str(finished_run), "--kind", "scores", "--bootstrap", "0"]
    assert main(["score", *options, "--out", str(tmp_path / "other"), "--page", "0"]) == 0
    assert not (tmp_path / "other" / "view").exists()
    assert main(["score", *options, "--page", "-1"]) == 2
    assert "--page is -1" in capsys.readouterr().err


def test_compared_by_hand():
    mask = np.array([[0, 0, 1, 1, 255, 255]], np.uint8)
    predicted = np.array([[0, 1, 0, 1, 0, 1]], bool)
    assert compared(mask, predicted).tolist() == [[0, FALSE, MISSED, HIT, IGNORED, IGNORED]]
