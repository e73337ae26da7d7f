"""From an imported set to PAL's table: pictures and labels on disk, imported, scored, told apart by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.__main__ import main
from shards.__main__ import main as shards
from shards.reader import ShardReader

SIDE = 16


def write_task(root: Path, task: str, covered: int) -> None:
    """Two test pictures; the first label covers `covered` rows, the second none."""
    for name, rows in (("one", covered), ("two", 0)):
        label = np.zeros((SIDE, SIDE), np.uint8)
        label[:rows] = 1
        picture = np.full((SIDE, SIDE, 3), len(task) + rows, np.uint8)
        for kind, array in (("images", picture), ("labels", label)):
            path = root / task / kind / "test" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


def score_half(run: Path, out: Path) -> Path:
    """Predict the upper half of every picture and score it."""
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[: SIDE // 2] = 255
    reader = ShardReader(run)
    (out / "pred").mkdir(parents=True)
    for i in range(len(reader)):
        Image.fromarray(half).save(out / "pred" / f"{reader.key(i)}.png")
    told = ["score", "--pred", out / "pred", "--truth", run, "--out", out / "scores", "--bootstrap", "0"]
    assert main([str(word) for word in told]) == 0
    return out / "scores"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pal")
    for task, covered in (("ldm", 8), ("cvton", 4)):
        write_task(root / "set", task, covered)
    assert shards(["import", "pal", str(root / "set"), "--out", str(root / "pal")]) == 0
    return {task: score_half(root / "pal" / task / "test", root / task) for task in ("ldm", "cvton")}


def test_specialists_become_one_row(scored: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert main(["tasks", "--no-paper", f"half={scored['ldm']},{scored['cvton']}", f"one={scored['ldm']}"]) == 0
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    column = {heading: place for place, heading in enumerate(rows[0])}
    half, one, images = rows[2:]
    # 8 of 8 rows right in one picture, 8 wrong in the other; then 4 right, 4 and 8 wrong.
    assert (half[0], half[column["LDMs"]], half[column["VTON"]]) == ("half", "50.00", "25.00")
    assert (one[0], one[column["LDMs"]], one[column["VTON"]]) == ("one", "50.00", "-")
    assert (images[column["LDMs"]], images[column["VTON"]]) == ("2", "2")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["half"], "NAME=DIR"),
        (["a={ldm}", "a={cvton}"], "named twice"),
        (["a={ldm},{ldm}"], "scored twice"),
        (["a=nowhere"], "nowhere"),
    ],
)
def test_one_clear_line(scored: dict[str, Path], capsys: pytest.CaptureFixture[str], told: list[str], said: str):
    assert main(["tasks", *(word.format(**scored) for word in told)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
