"""What others read: the hub's loader, webdataset, and the Croissant validator, all offline."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import yaml

from shards.croissant import date_of

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


@pytest.fixture
def clean_first(tmp_path, run_maker):
    """Two shards, the first with clean samples only, more of them than loaders look at to infer a schema."""
    run_maker(tmp_path / "run", rows=8)
    return tmp_path / "run"


def test_datasets_reads_a_run_with_one_schema(clean_first, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the dev extra is not installed")
    files = sorted(str(path) for path in (clean_first / "shards").glob("*.tar"))
    loaded = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 16
    last = loaded[15]
    assert last["json"]["label"] == "artifact"
    assert isinstance(last["json"]["change"]["inside"], float)
    assert set(np.unique(np.asarray(last["mask.png"]))) == {0, 255}
    assert np.asarray(last["webp"]).shape == (32, 32, 3)
    assert loaded[0]["json"]["label"] == "clean"
    assert loaded[0]["json"].keys() == last["json"].keys()


def test_the_card_alone_tells_datasets_what_to_load(clean_first, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the dev extra is not installed")
    loaded = datasets.load_dataset(str(clean_first), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 16


def test_the_header_of_the_card(finished_run):
    text = (finished_run / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "shards/*.tar"}]}]
    assert header["license"] == "apache-2.0"
    assert "8 samples in 2 shards: 3 with artifacts, 5 clean." in text


def test_mlcroissant_validates(finished_run):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the dev extra is not installed")
    dataset = mlcroissant.Dataset(jsonld=str(finished_run / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert {file.sha256 for file in dataset.metadata.file_objects} != {None}


def test_webdataset_groups_the_members(finished_run):
    webdataset = pytest.importorskip("webdataset")
    files = sorted(str(path) for path in (finished_run / "shards").glob("*.tar"))
    samples = list(webdataset.WebDataset(files, shardshuffle=False))
    assert [one["__key__"] for one in samples] == [f"{n // 4:05d}_{n % 4:05d}" for n in range(8)]
    assert {"webp", "mask.png", "json", "source.webp"} <= set(samples[0])


def test_an_empty_croissant_is_valid_too(tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the dev extra is not installed")
    from shards.writer import RunInfo, RunWriter

    run = RunWriter(tmp_path / "run", RunInfo({}, {"name": "s", "items": 0}, 0))
    run.finalise()
    assert not mlcroissant.Dataset(jsonld=str(tmp_path / "run/croissant.json")).metadata.ctx.issues.errors


def test_the_date_is_that_of_the_last_shard(finished_run, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for day, path in enumerate(sorted((finished_run / "shards").glob("*.stats.json"))):
        os.utime(path, (86400 * (20000 + day),) * 2)  # day 20000 after 1970-01-01 is 2024-10-04
    assert date_of(finished_run) == "2024-10-05"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert date_of(finished_run) == "1970-01-02"


def test_the_snippet_for_the_plain_environment_runs(finished_run, monkeypatch):
    pytest.importorskip("webdataset")
    code = (finished_run / "README.md").read_text().split("```python\n")[2].split("```")[0]
    monkeypatch.chdir(finished_run)
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(list(names["samples"])) == 8
