"""Pictures of a source as plain files, and the way from them to a choice by PAR."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hps_tools import hps_set, picture

from shards.__main__ import main
from shards.source import open_source
from shards.sources.gather import file_names


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix not in (".jsonl", ".txt")}


def test_what_was_drawn_lies_there_and_leads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tars = hps_set(tmp_path / "set")
    command = [
        "gather",
        "webdataset",
        "--set",
        f"tars={tars}",
        "--set",
        "select.count=9",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("9 pictures written, 0 were there, 0 rejected")
    source = open_source("webdataset", tars=tars, select={"count": 9})
    found = files(tmp_path / "out")
    assert {name.rpartition(".")[0] for name in found} == {item.uri for item in source}
    for index, item in enumerate(source):
        path = next(path for path in (tmp_path / "out").iterdir() if path.name in found and path.stem == item.uri)
        assert path.read_bytes() == source.read(source.place(index))
        assert path.with_name(f"{item.uri}.txt").read_text() == item.caption
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("0 pictures written, 9 were there")
    # A detector names its rows by the files; the set understands.
    rows = "".join(f"{name.rpartition('.')[0]},{number / 10}\n" for number, name in enumerate(sorted(found)))
    (tmp_path / "par.csv").write_text("key,par\n" + rows)
    few = open_source("webdataset", tars=tars, select={"count": 3, "par": str(tmp_path / "par.csv"), "max_par": 0.25})
    assert sorted(item.uri for item in few) == sorted(name.rpartition(".")[0] for name in found)[:3]


def test_names_stay_inside_and_nothing_is_lost(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("../../etc/x.png", "d/y.png", "d__y.png", "n" * 240 + ".png", "words.jpg", "none.jpg", "z.txt"):
            data = b"only words" if name.startswith("words") else b"" if name.startswith("none") else picture(len(name))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = open_source("webdataset", tars=str(tmp_path / "a.tar"))
    names = file_names(source)
    assert len(set(names)) == len(source) == 7
    assert not any("/" in name or name.startswith(".") or len(name) > 200 for name in names)
    assert main(["gather", "webdataset", "--set", f"tars={tmp_path}/a.tar", "--out", str(tmp_path / "out")]) == 0
    assert len(files(tmp_path / "out")) == 4
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert [one["reason"] for one in rejects] == ["not_image", "empty", "no_image"]


def test_what_cannot_be_gathered(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["gather", "miniworld", "--set", "count=3", "--out", str(tmp_path / "out")]) == 2
    assert "has no picture files" in capsys.readouterr().err
    assert main(["gather", "webdatasets", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean 'webdataset'" in capsys.readouterr().err
