"""Where pictures, models and runs lie is no part of what a run is, and is not told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, tree

from corruptor.__main__ import main
from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from region_select.draw import draw
from region_select.label import pseudo_label, write_masks
from region_select.policy import open_policy
from shards.config import make_config
from shards.errors import ResumeError
from shards.places import IGNORE, LOCAL
from shards.source import open_source
from shards.writer import MANIFEST, read_manifest

CODE = "def nothing(item, rng):\n    return None\n"


def made(root: Path, model: Path, out: Path, *parts: dict[str, Any], masks: str = "") -> None:
    """A run whose policies are partly code of one's own that finds nothing."""
    policies = {"parts": [*parts, {"policy": "blobs"}]} if parts else {}
    region = {"policy": "mix" if parts else "blobs", "options": policies}
    values = line_values(root, model, region=region)
    values["source"]["options"]["masks"] = masks
    make_shards(make_config(values, LineConfig), out)


def published(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.name not in (LOCAL, IGNORE)}


def test_no_place_of_this_machine_is_told(pictures: Path, tiny_model: Path, tmp_path: Path):
    (tmp_path / "code").mkdir()
    code = tmp_path / "code" / "mine.py"
    code.write_text(CODE)
    out = tmp_path / "run"
    made(pictures, tiny_model, out, {"policy": f"{code}:nothing", "weight": 3.0})
    everything = published(out)
    assert not [name for name, data in everything.items() if str(tmp_path.parent).encode() in data]
    assert b"mine.py:nothing" in everything[MANIFEST]
    assert json.loads((out / LOCAL).read_text()) == {
        "model.folder": str(tiny_model),
        "source.options.root": str(pictures),
    }
    for name in ("README.md", "croissant.json"):
        assert LOCAL.encode() not in everything[name]


def test_the_same_run_from_elsewhere_and_by_another_spelling(
    pictures: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(pictures, tiny_model, tmp_path / "a")
    there = tmp_path / "other" / "place"
    shutil.copytree(pictures, there / pictures.name)
    shutil.copytree(tiny_model, there / tiny_model.name)
    monkeypatch.chdir(there)
    made(Path(pictures.name), Path(".") / tiny_model.name, tmp_path / "b")
    assert published(tmp_path / "a").keys() == published(tmp_path / "b").keys()
    assert tree(tmp_path / "a")["shards/00000.tar"] == tree(tmp_path / "b")["shards/00000.tar"]
    assert read_manifest(tmp_path / "a" / MANIFEST) == read_manifest(tmp_path / "b" / MANIFEST)
    # What was begun there goes on here: its shard is made again, to the same bytes.
    before = tree(tmp_path / "b")["shards/00001.tar"]
    (tmp_path / "b" / "shards" / "00001.stats.json").unlink()
    made(pictures, tiny_model, tmp_path / "b")
    assert tree(tmp_path / "b")["shards/00001.tar"] == before
    assert json.loads((tmp_path / "b" / LOCAL).read_text())["source.options.root"] == str(pictures)


def test_a_run_that_tells_places_says_what_differs(pictures: Path, tiny_model: Path, tmp_path: Path):
    made(pictures, tiny_model, tmp_path / "run")
    manifest = read_manifest(tmp_path / "run" / MANIFEST)
    manifest["config"]["source"]["options"]["root"] = str(pictures)
    (tmp_path / "run" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ResumeError, match=r"source\.options\.root: .* there, 'pictures' now"):
        made(pictures, tiny_model, tmp_path / "run")


def test_remaking_knows_the_places_on_this_machine_alone(
    pictures: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    out = tmp_path / "run"
    made(pictures, tiny_model, out)
    remake = ["remake", str(out), "00000_00000"]
    monkeypatch.chdir(tmp_path)
    assert main(remake) == 0
    (out / LOCAL).unlink()
    capsys.readouterr()
    assert main(remake) == 2
    assert "--set model.folder=PATH" in capsys.readouterr().err
    remake += ["--set", f"model.folder={tiny_model}"]
    assert main(remake) == 2
    said = capsys.readouterr().err
    assert "source.options.root was 'pictures'" in said
    assert said.count("\n") == 1
    assert main([*remake, "--set", f"source.options.root={pictures}"]) == 0
    monkeypatch.chdir(pictures.parent)  # a folder of that name: its pictures are checked
    assert main(remake) == 0


def test_labelled_and_drawn_sets(pictures: Path, tmp_path: Path):
    source, policy = open_source("folder", root=str(pictures)), open_policy("blobs")
    asked = {"policy": "learned", "options": {"weights": str(tmp_path / "swin")}}
    pseudo_label(source, policy, tmp_path / "pseudo", asked)
    write_masks(source, policy, tmp_path / "masks", asked)
    draw([str(tmp_path / "pseudo")], 2, tmp_path / "drawn", rest=tmp_path / "rest")
    for name in ("pseudo", "masks", "drawn", "rest"):
        told = published(tmp_path / name)
        assert told
        assert not [file for file, data in told.items() if str(tmp_path).encode() in data], name
