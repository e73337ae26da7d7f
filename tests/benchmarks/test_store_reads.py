"""The benchmark of reads from a store at its smallest: what is asked for, and that all of it comes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import store_reads


def test_requests_and_bytes_of_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("obstore", reason="obstore is not installed (pip install 'blemish[stores]')")
    pytest.importorskip("moto", reason="moto, an S3 server for tests, is not installed")
    for name in (*store_reads.KEYS, "AWS_ENDPOINT_URL", "BLEMISH_CACHE"):
        monkeypatch.setenv(name, "")  # put back afterwards
    words = ["--n", "4", "--per-shard", "2", "--side", "64", "--rounds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["store_reads", *words])
    assert store_reads.main() == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "store_reads.json").read_text())["rows"]}
    assert int(rows["all samples, shards kept"]["requests"]) == 2, "a listing and the manifest"
    assert rows["all samples, a folder"]["requests"] == "0"
    assert int(rows["all samples, whole shards"]["requests"]) == 4, "and each shard once"
    assert rows["one sample"]["mb"] < rows["all samples, whole shards"]["mb"]
