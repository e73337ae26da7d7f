"""What a run says of the places that its config names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shards.config import INSTALLED
from shards.places import IGNORE, LOCAL, keep_places, places, public, public_text, read_places

WEIGHTS = "region_select/weights/swin_mini.safetensors"


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("/home/alice/pictures", "root", "pictures"),
        ("/home/alice/pictures/", "root", "pictures"),
        ("pictures", "root", "pictures"),
        ("../up/pictures", "root", "pictures"),
        ("/d/data-{000..068}.tar", "tars", "data-{000..068}.tar"),
        ("out/*/shards/*.tar", "where", "*.tar"),
        ("file:///home/alice/a.tar", "tars", "a.tar"),
        ("hf://datasets/a/b/c.tar", "tars", "hf://datasets/a/b/c.tar"),
        ("/home/alice/own", "anything", "own"),
        ("a/b", "anything", "a/b"),
        ("/home/alice/mine.py:Stripe", "policy", "mine.py:Stripe"),
        ("own.policies:Stripe", "policy", "own.policies:Stripe"),
        ("none", "index", "none"),
        ("", "masks", ""),
        (WEIGHTS, "weights", WEIGHTS),
        (str(INSTALLED / WEIGHTS), "weights", WEIGHTS),
        ("miniworld/weights", "folder", "miniworld/weights"),
        ("stabilityai/sdxl-turbo", "folder", "stabilityai/sdxl-turbo"),
    ],
)
def test_a_place_is_told_by_its_name(text: str, name: str, told: str):
    assert public_text(text, name) == told
    assert public_text(told, name) == told


def test_spelling_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sd" / "one").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "sd")
    spelled = ["one", "./one", "../sd/one", str(tmp_path / "sd" / "one"), "one/"]
    assert {public_text(text, "folder") for text in spelled} == {"one"}
    found = [dict(places({"folder": text}, "model")) for text in spelled]
    assert found == [{"model.folder": str(tmp_path / "sd" / "one")}] * 5
    assert public_text(".", "root") == "sd"


def test_trees():
    options = {"root": "/a/b", "select": {"par": "/a/par.csv", "count": 3}, "tars": ["/a/x.tar", "hf://y.tar"]}
    assert public(options) == {"root": "b", "select": {"par": "par.csv", "count": 3}, "tars": ["x.tar", "hf://y.tar"]}
    assert dict(places(options, "source.options")) == {
        "source.options.root": "/a/b",
        "source.options.select.par": "/a/par.csv",
        "source.options.tars": ["/a/x.tar", "hf://y.tar"],
    }


def test_places_are_kept_beside_the_run_and_out_of_what_is_published(tmp_path: Path):
    keep_places(tmp_path, {})
    assert os.listdir(tmp_path) == []
    keep_places(tmp_path, {"source.options.root": "/a/b"})
    assert read_places(tmp_path) == {"source.options.root": "/a/b"}
    assert (tmp_path / IGNORE).read_text().splitlines()[-1] == LOCAL
    (tmp_path / LOCAL).write_text('{"a": 3, "b": ["/x"], "c": [{}]}')
    assert read_places(tmp_path) == {"b": ["/x"]}
    (tmp_path / LOCAL).write_text("[")
    assert read_places(tmp_path) == {}
