"""The tables at their smallest: a tiny network, eight pictures, one seed; and what a config may not say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import tiny_network
from PIL import Image
from red_squares import write_squares

from detector.errors import InputError
from detector.heat import Detector
from detector.rejection.names import PIXEL_SCORES, SCORES
from experiments.msr.__main__ import main
from experiments.msr.coco_stuff import Grouping, category, shipped
from experiments.msr.outlines import distance, look_for
from experiments.msr.paper import REAL
from experiments.msr.plan import TABLES, Arm, LabelledSet, MsrConfig, placed, trained_as
from experiments.msr.sets import Labelled
from shards.config import load_config
from shards.errors import ConfigError, MissingInputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Squares, clean squares, pictures in two folders, a segmenter, and a config over them."""
    root = tmp_path_factory.mktemp("msr")
    write_squares(root / "squares", 8)
    write_squares(root / "clean", 4, every=1)
    for number, name in enumerate(("nature", "nature", "urban")):
        (root / "real" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "real" / name / f"{number}.png")
    tiny_network.folder(root / "segmenter")
    overrides = tuple(one for one in tiny_network.overrides(root / "segmenter"))
    text = f"""
segmenter = {str(root / "segmenter")!r}
per_pixel = "detector/weights/swin_mini.safetensors"
tiny = {overrides!r}
arms = (
    dict(name="as it is"),
    dict(name="adapted", shards=("{{squares}}",), iterations=1, overrides=tiny),
)
del tiny
main = "adapted"
compare = (("adapted", "as it is"),)
tests = (dict(name="squares", shards="{{squares}}"),)
real = (
    dict(name="clean", shards={str(root / "clean")!r}),
    dict(name="real", shards={str(root / "real")!r}, by="folder"),
)
seeds = (3,)
margins = (0.5,)
ratios = (0.5,)
resamples = 10
"""
    (root / "config.py").write_text(text)
    return root


def command(folder: Path, *more: str) -> int:
    places = ["--place", f"squares={folder / 'squares'}"]
    return main([str(folder / "config.py"), "--out", str(folder / "out"), *places, *more])


def test_scores_of_a_segmenter_as_it_is_and_adapted(folder):
    out = folder / "few"
    assert (
        main(
            [
                str(folder / "config.py"),
                "--out",
                str(out),
                "--place",
                f"squares={folder / 'squares'}",
                "--tables",
                "scores",
                "--set",
                "per_pixel=''",
                "--set",
                "limit=3",
            ]
        )
        == 0
    )
    (found,) = json.loads((out / "tables.json").read_text())["tables"]
    assert [row[:2] for row in found["rows"]] == [[arm, score] for arm in ("as it is", "adapted") for score in SCORES]
    assert [row[-1] for row in found["rows"]][6:] == ["48.20", "45.80", "44.12", "42.50", "40.25", "-"]
    assert "48.20" in (out / "tables.md").read_text()


@pytest.mark.slow
def test_every_table(folder, capsys):
    assert command(folder) == 0
    told = json.loads((folder / "out" / "tables.json").read_text())
    tables = {one["name"]: one for one in told["tables"]}
    assert tuple(tables) == TABLES
    for one in tables.values():
        assert bool(one["rows"]) == (one["name"] != "outlines")  # whose sets must know their scenes
        assert {len(row) for row in one["rows"]} <= {len(one["head"])}
    assert [row[0] for row in tables["arms"]["rows"]] == ["as it is", "adapted"]
    (difference,) = tables["differences"]["rows"]
    values = [float(row[1].split(" ")[0]) for row in tables["arms"]["rows"]]
    assert float(difference[1].split(" ")[0]) == pytest.approx(values[1] - values[0], abs=0.11)
    assert tables["arms"]["head"] == ["arm", "squares: artifact iou", "squares: pixel ap", "squares: image auroc max"]
    assert [row[1] for row in tables["scores"]["rows"]][:3] == list(PIXEL_SCORES)
    real = {(row[1], row[2]): row[-1] for row in tables["real"]["rows"]}
    assert real["real", "nature"] == "1.45 / 0.04"
    assert ("clean", "all") in real
    assert float(tables["cost"]["rows"][0][2]) > 0
    first = capsys.readouterr().out
    # Again: nothing is trained or looked at, and the tables are the same.
    before = {path: path.stat().st_mtime_ns for path in folder.glob("out/arms/*/weights.safetensors")}
    assert command(folder) == 0
    assert capsys.readouterr().out == first
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("out/arms/*/weights.safetensors")}


def test_dry_run_says_what_it_takes(folder, capsys):
    assert command(folder, "--dry-run", "--tables", "arms", "margins") == 0
    told = capsys.readouterr().out
    assert "2 trainings x 1 seeds" in told
    # 8 pictures of the test set, looked at by three detectors.
    assert "24 looks" in told


def test_dry_run_of_what_is_not_here(capsys):
    """Two kinds of specialists for eleven tasks; five other arms, five margins, four shares."""
    places = ["--place", "pal=/no/pal", "coco=/no/coco"]
    command = ["configs/msr/pal.py", "--out", "unused", *places, "--dry-run", "--gpu", "a100"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert f"{2 * 11 + 5 + 5 + 4} trainings x 3 seeds" in told
    assert "missing: /no/pal/ldm/train" in told
    assert "missing: /no/coco/stuffthingmaps/val2017" in told
    assert "on one A100" in told
    assert main([*command[:3], "--place", "pal=/no/pal", "--dry-run", "--tables", "arms"]) == 0
    assert "coco" not in capsys.readouterr().out


def test_what_is_wrong_is_one_line(folder, capsys):
    assert main([str(folder / "config.py"), "--out", str(folder / "o")]) == 2
    assert "{squares}" in capsys.readouterr().err
    assert command(folder, "--place", "squares=/nowhere/at/all") == 2
    assert "does not exist" in capsys.readouterr().err
    assert command(folder, "--set", "compare=[('adapted', 'other')]") == 2
    assert "'other', which is no arm" in capsys.readouterr().err
    assert command(folder, "--set", "main='as it is'") == 2
    assert "arm that is trained" in capsys.readouterr().err
    assert not (folder / "o").exists()


@pytest.mark.parametrize("name", ["miniworld", "pal"])
def test_configs_that_are_shipped(name):
    config = load_config(f"configs/msr/{name}.py", MsrConfig)
    with pytest.raises(ConfigError, match="--place"):
        placed(config, {})
    there = placed(config, {"shards": "a", "pal": "b", "coco": "c"})
    told = str(there.arms) + str(there.tests) + str(there.real)
    assert "{" not in told.replace("{task}", "")


GROUPING = Grouping({"animals": {"cat": 17}, "nature": {"grass": 124, "sea": 155}}, "animals", 0.25)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[16, 123], [154, 123]], "animals"),  # a quarter
        ([[16, 123, 123], [154, 123, 200]], "nature"),  # a sixth
        ([[255, 0], [255, 3]], "other"),
    ],
)
def test_category_of_a_label_map(values, expected):
    """Maps hold ids less 1."""
    assert category(np.array(values, np.uint8), GROUPING) == expected


def test_the_shipped_grouping():
    grouping = shipped()
    assert set(grouping.groups) == set(REAL) - {"all"}
    assert grouping.groups["animals"]["zebra"] == 24
    with pytest.raises(ConfigError, match="each once"):
        Grouping({"a": {"cat": 17}, "b": {"dog": 17}})
    with pytest.raises(ConfigError, match="first"):
        Grouping({"a": {"cat": 17}}, "b")


def test_photographs_with_label_maps(folder, tmp_path):
    (tmp_path / "maps").mkdir()
    pictures = LabelledSet("real", str(folder / "real" / "nature"), "coco_stuff", maps=str(tmp_path / "maps"))
    with pytest.raises(MissingInputError, match="stuffthingmaps"):
        Labelled(pictures).groups(0)
    for name, value in (("0", 16), ("1", 147)):
        Image.fromarray(np.full((20, 30), value, np.uint8)).save(tmp_path / "maps" / f"{name}.png")
    found = Labelled(pictures)
    assert [sorted(found.groups(index)) for index in range(2)] == [["all", "animals"], ["all", "nature"]]
    (tmp_path / "maps" / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="no label map"):
        found.groups(0)
    with pytest.raises(ConfigError, match="maps"):
        LabelledSet("real", "somewhere", "coco_stuff")


def test_steps_to_an_outline_by_hand():
    """A block of one label in another, nine pixels wide: its rim and the frame are 1, the pixel within is 2."""
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 7
    found = distance(labels)
    assert found[0].tolist() == [1] * 9
    assert found[4].tolist() == [1, 2, 1, 1, 2, 1, 1, 2, 1]
    assert found[1, 1] == 2


def test_false_alarms_at_outlines(tmp_path):
    """Of eight clean pictures of the embedded world; a detector that marks everything marks as much as lies there."""
    clean = LabelledSet("clean", "miniworld/sets/v1/clean-test", "kind")
    detector = SimpleNamespace(heat=lambda images: [np.ones(images[0].shape[:2], np.float32)])
    found = look_for((cast(Detector, detector), "all"), clean, 8, 0.5, tmp_path)
    assert (found.pictures, found.marked, found.area_of_all) == (8, 8 * 64**2, 8 * 64**2)
    assert found.near == found.area
    assert found.area[0] == 0
    assert 8 * 252 < found.area[1] < found.area[2] < found.area_of_all  # the frame alone has 252 pixels
    assert found.flagged == [8, 8, 8]
    # Kept: nothing is looked at again.
    assert look_for((cast(Detector, None), "all"), clean, 8, 0.5, tmp_path) == found
    with pytest.raises(InputError, match="has no scene"):
        Labelled(LabelledSet("squares", str(write_squares(tmp_path / "squares", 2)))).scene(0)


def test_a_specialist_is_trained_for_each_task():
    arm = Arm("each", ("{task}/train",), validation="{task}/val")
    assert arm.is_specialist
    assert arm.of_task("ldm") == Arm("each", ("ldm/train",), validation="ldm/val")
    assert len(trained_as(arm)) == 11
    assert trained_as(arm.of_task("ldm")) == [arm.of_task("ldm")]


def test_pictures_of_folders_are_clean(folder):
    real = Labelled(LabelledSet("real", str(folder / "real"), "folder"))
    assert [sorted(real.groups(index)) for index in range(3)] == [["all", "nature"]] * 2 + [["all", "urban"]]
    image, mask = real.load(0)
    assert image.shape == (20, 30, 3)
    assert not mask.any()
