"""The tables at their smallest: a tiny network, eight pictures, one seed; and what a config may not say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_network
from PIL import Image
from red_squares import write_squares

from detector.rejection.names import PIXEL_SCORES, SCORES
from experiments.msr.__main__ import main
from experiments.msr.plan import TABLES, MsrConfig, placed
from experiments.msr.sets import Labelled, LabelledSet
from shards.config import load_config
from shards.errors import ConfigError


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
        assert one["rows"]
        assert {len(row) for row in one["rows"]} == {len(one["head"])}
    assert [row[0] for row in tables["arms"]["rows"]] == ["as it is", "adapted"]
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
    assert "2 trainings x 1 seeds" in capsys.readouterr().out


def test_what_is_wrong_is_one_line(folder, capsys):
    assert main([str(folder / "config.py"), "--out", str(folder / "o")]) == 2
    assert "{squares}" in capsys.readouterr().err
    assert command(folder, "--place", "squares=/nowhere/at/all") == 2
    assert "does not exist" in capsys.readouterr().err
    assert command(folder, "--set", "main='as it is'") == 2
    assert "arm that is trained" in capsys.readouterr().err
    assert not (folder / "o").exists()


@pytest.mark.parametrize("name", ["miniworld", "pal"])
def test_configs_that_are_shipped(name):
    config = load_config(f"configs/msr/{name}.py", MsrConfig)
    with pytest.raises(ConfigError, match="--place"):
        placed(config, {})
    there = placed(config, {"shards": "a", "pal": "b", "real": "c"})
    assert "{" not in str(there.arms) + str(there.tests)


def test_pictures_of_folders_are_clean(folder):
    real = Labelled(LabelledSet("real", str(folder / "real"), "folder"))
    assert [sorted(real.groups(index)) for index in range(3)] == [["all", "nature"]] * 2 + [["all", "urban"]]
    image, mask = real.load(0)
    assert image.shape == (20, 30, 3)
    assert not mask.any()
