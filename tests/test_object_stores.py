"""A verb refuses an address that it cannot write to, by name, and makes nothing (`shards` writes to s3, gs and az)."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ADDRESS = "s3://bucket/run"
VERBS = {
    "corruptor": [
        ["shards", "--out", "hf://datasets/me/run"],
        ["shards", "--out", "s3://bucket", "--dry-run"],
        ["remake", "RUN", "00000_00000", "--out", ADDRESS],
    ],
    "detector": [
        ["predict", "WEIGHTS", "RUN", "--out", ADDRESS],
        ["train", "configs/detector/swin_mini.py", "--shards", "RUN", "--out", ADDRESS],
        ["export", "WEIGHTS", "--out", f"{ADDRESS}/a.safetensors"],
    ],
    "region_select": [["draw", "RUN", "--out", ADDRESS]],
    "shards": [
        ["show", "RUN", "--out", f"{ADDRESS}/sheet.png"],
        ["export", "parquet", "RUN", "--out", ADDRESS],
        ["export", "anomalib", "RUN", "--out", ADDRESS],
        ["gather", "folder", "--set", "root=PICTURES", "--out", "gs://bucket/run"],
    ],
    "miniworld": [["sample", "--n", "1", "--out", ADDRESS], ["render", "--n", "1", "--out", "hf://datasets/me/run"]],
}


@pytest.mark.parametrize(("package", "words"), [(package, words) for package in VERBS for words in VERBS[package]])
def test_an_address_is_refused_by_name(
    package: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module(f"{package}.__main__").main
    assert main(words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"error: {words[words.index('--out') + 1]}: output goes to a folder of this machine")
    assert list(tmp_path.iterdir()) == []
