"""Stages that another grid has finished are taken over: nothing of them is made again, and the rows are the same."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from ablation_tools import SHAM, grid_values, make_pipeline, write_grid

from ablation.__main__ import main
from ablation.grid import load_grid
from ablation.run import STAGES, claim


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("reuse") / "tiny")


@pytest.fixture(scope="module")
def first(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks and corrupted, finished."""
    folder = tmp_path_factory.mktemp("first")
    grid = write_grid(folder / "grid.py", grid_values(tiny))
    assert main([str(grid), "--out", str(folder / "out"), "--processes", "1"]) == 0
    return folder / "out"


def rows_of(out: Path, arm: str) -> list[dict[str, object]]:
    told = json.loads((out / "rows.json").read_text())["rows"]
    return [row for row in told if row["arm"] == arm]


def test_another_grid_takes_what_is_the_same(
    first: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arms = [{"name": "damaged"}, {"name": "longer", "iterations": 6}, {"name": "masks", "set": SHAM}]
    grid = write_grid(tmp_path / "other.py", grid_values(tiny, arms=arms, compare=[["damaged", "masks"]]))
    copy = shutil.copytree(first, tmp_path / "first")  # to be deleted
    command = [str(grid), "--out", str(tmp_path / "out"), "--processes", "1", "--reuse", str(copy)]
    assert main([*command, "--dry-run"]) == 0
    assert "taken over from other folders: 4 of 5 stages" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "4 of 5 stages were done before" in told
    assert "[5/5] train: longer" in told
    before, after = rows_of(first, "corrupted"), rows_of(tmp_path / "out", "damaged")
    assert [{**row, "arm": ""} for row in after] == [{**row, "arm": ""} for row in before]
    shutil.rmtree(copy)
    assert main([word for word in command if word not in ("--reuse", str(copy))]) == 0
    assert rows_of(tmp_path / "out", "damaged") == after


def test_what_was_cut_short_is_taken_again(first: Path, tiny: Path, tmp_path: Path):
    grid = write_grid(tmp_path / "grid.py", grid_values(tiny))
    stage = next(path for path in (first / STAGES).iterdir() if path.name.startswith("shards-"))
    with claim(load_grid(grid), tmp_path / "out").held():
        partial = tmp_path / "out" / STAGES / f"{stage.name}.taken"
        partial.mkdir(parents=True)
        (partial / "done.json").write_text("{")
    assert main([str(grid), "--out", str(tmp_path / "out"), "--processes", "1", "--reuse", str(first)]) == 0
    assert not partial.exists()
    assert rows_of(tmp_path / "out", "masks") == rows_of(first, "masks")


def test_unfinished_stages_elsewhere_are_made_here(first: Path, tiny: Path, tmp_path: Path):
    half = shutil.copytree(first, tmp_path / "half")
    for done in half.glob(f"{STAGES}/*/done.json"):
        done.unlink()
    grid = write_grid(tmp_path / "grid.py", grid_values(tiny))
    assert main([str(grid), "--out", str(tmp_path / "out"), "--processes", "1", "--reuse", str(half)]) == 0
    assert not list(half.glob(f"{STAGES}/*/done.json"))
    assert rows_of(tmp_path / "out", "masks")


@pytest.mark.parametrize(
    ("folder", "words"), [("nowhere", "no output folder of `blemish ablate`"), ("out", "is --out itself")]
)
def test_folders_that_cannot_be_reused(
    folder: str, words: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "out" / STAGES).mkdir(parents=True)
    grid = write_grid(tmp_path / "grid.py", grid_values(tiny))
    assert main([str(grid), "--out", str(tmp_path / "out"), "--reuse", str(tmp_path / folder)]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
