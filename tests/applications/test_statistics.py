"""Counts solved by hand, and the report of runs and predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from applications.statistics.items import Item, items_of, read_classes
from applications.statistics.page import coloured, page
from applications.statistics.tally import ALL, heat_of, share, tally
from applications.tables import TableError
from blemish.command import main
from shards.source import Region

SET = "miniworld/sets/v1/select"


def item(key: str, group: str, rows: int, clean: bool | None = None, ignored: int = 0, **more: object) -> Item:
    """An 8 x 8 picture whose first rows are artifact and whose last are ignored."""
    mask = np.zeros((8, 8), np.uint8)
    mask[:rows] = 1
    if ignored:
        mask[-ignored:] = 255
    return Item(key, group, mask, lambda: np.zeros((8, 8, 3), np.uint8), is_clean=clean, **more)  # type: ignore[arg-type]


def test_groups_and_false_alarms():
    found = tally([item("a", "x", 0, True), item("b", "x", 2, True), item("c", "y", 4, None, ignored=4)])
    assert {name: group.pictures for name, group in found.groups.items()} == {"x": 2, "y": 1, ALL: 3}
    facts = found.groups["x"].facts()
    assert (facts["share_marked"]["value"], facts["mean_par"]) == (0.5, 0.125)
    assert (facts["fpr"]["value"], facts["apaa"], facts["clean"]) == (0.5, 0.125, 2)
    other = found.groups["y"].facts()
    assert (other["mean_par"], other["fpr"], other["apaa"]) == (1.0, None, None)  # ignored pixels do not count
    assert found.groups[ALL].bins.tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 1]  # 0; 0.25; 1
    assert [key for _, key, _ in found.finds] == ["c", "b"]


def test_average_heat():
    found = tally([item("a", "x", 4), item("b", "x", 0)])
    mean = found.groups["x"].heat / 2
    assert mean[:32].min() == mean[:32].max() == 0.5
    assert not mean[32:].any()
    assert heat_of(np.eye(128, dtype=bool)).max() == pytest.approx(0.5, abs=0.01)


def test_objects_against_stuff():
    face, hand = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    face[:4, :4], hand[4:, :4] = 1, 1
    regions = (Region("face-0", face), Region("hand-1", hand), Region("face.eye", face, "face-0"))
    rows = {row["kind"]: row for row in tally([item("a", "x", 2, regions=regions)]).kinds()}
    assert list(rows) == ["objects", "stuff", "face", "hand"]
    assert (rows["face"]["artifact_pixels"], rows["hand"]["artifact_pixels"], rows["stuff"]["artifact_pixels"]) == (
        8,
        0,
        8,
    )
    assert rows["objects"]["share_of_artifact"] == 0.5
    assert rows["face"]["broken"] == 0.5
    assert tally([item("a", "x", 2)]).kinds() == []


def test_class_maps(tmp_path: Path):
    table, maps = tmp_path / "classes.csv", tmp_path / "maps"
    maps.mkdir()
    table.write_text("id,name,kind\n0,sky,stuff\n7,dog,object\n9,cat,object\n")
    plane = np.zeros((8, 8), np.uint8)
    plane[:2], plane[6:] = 7, 9
    Image.fromarray(plane).save(maps / "a.png")
    classes = read_classes(maps, table)
    rows = {row["kind"]: row for row in tally([item("a", "x", 4, regions=classes.regions("a", (8, 8)))]).kinds()}
    assert {kind: row["artifact_pixels"] for kind, row in rows.items()} == {
        "objects": 16, "stuff": 16, "dog": 16, "cat": 0,
    }  # fmt: skip
    for key, shape, said in (("b", (8, 8), "cannot be read"), ("a", (4, 4), "must be of one size")):
        with pytest.raises(TableError, match=said):
            classes.regions(key, shape)
    plane[0] = 5
    Image.fromarray(plane).save(maps / "a.png")
    with pytest.raises(TableError, match="holds the class 5"):
        classes.regions("a", (8, 8))
    table.write_text("id,name,kind\n0,sky,air\n")
    with pytest.raises(TableError, match="row 1: needed are an id"):
        read_classes(maps, table)


def test_shares():
    assert share(0, 0) is None
    found = share(5, 10)
    assert found is not None
    assert (found["value"], round(found["low"], 3), round(found["high"], 3)) == (0.5, 0.237, 0.763)


def test_the_page_is_whole_and_asks_for_nothing():
    text = page("a <b>", {"run & run": tally([item("<k>", "g<i>", 3, True)])})
    assert "a &lt;b&gt;" in text
    assert "g&lt;i&gt;" in text
    assert "&lt;k&gt;: PAR 37.5%" in text
    assert "http" not in text
    assert text.count("<img") == 3
    assert coloured(np.zeros((2, 2))).max() == 0


def test_a_labelled_run_with_its_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", SET, "--by", "label", "--out", str(tmp_path)]) == 0
    assert "100 pictures" in capsys.readouterr().out
    told = json.loads((tmp_path / "report.json").read_text())["runs"]["select"]
    assert told["groups"]["all"]["pictures"] == 100
    assert told["groups"]["clean"]["share_marked"]["value"] == 0
    assert sum(told["groups"]["artifact"]["histogram"]) == told["groups"]["artifact"]["marked"]
    assert {"objects", "stuff", "sign"} <= {row["kind"] for row in told["kinds"]}
    assert len(told["most"]) == 12


def test_predictions_by_folder_and_by_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures, seen = tmp_path / "pictures", tmp_path / "seen"
    rng = np.random.default_rng(0)
    for name in ("cats/1", "cats/2", "dogs/1"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(pictures / f"{name}.png")
    weights = "region_select/weights/swin_mini.safetensors"
    assert main(["detect", "predict", weights, str(pictures), "--out", str(seen), "--device", "cpu"]) == 0
    groups = {one.key: one.group for one in items_of(seen)}
    assert groups == {"cats__1": "cats", "cats__2": "cats", "dogs__1": "dogs"}
    assert all(one.is_clean for one in items_of(seen, real=True))
    table = tmp_path / "categories.csv"
    table.write_text("key,category\ncats__1,old\ndogs__1,new\n")
    assert {one.group for one in items_of(seen, categories=table)} == {"old", "new", "all"}
    assert main(["report", str(seen), "--real", "--out", str(tmp_path / "r")]) == 0
    told = json.loads((tmp_path / "r" / "report.json").read_text())["runs"]["seen"]
    assert told["groups"]["cats"]["clean"] == 2
    assert told["groups"]["cats"]["fpr"]["value"] == told["groups"]["cats"]["share_marked"]["value"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no/run"], "no/run do not exist"),
        ([SET, "--by", "mood"], "--by is 'mood'; allowed are set, label, method"),
        ([SET, "--classes", "x"], "belong together"),
        ([SET, "--categories", "no.csv"], "no.csv does not exist"),
    ],
)
def test_bad_reports_are_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", *words, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert "\n" not in told
