"""PAL's table by task, on counts solved by hand."""

from __future__ import annotations

import pytest

from detector.score.pal_table import COLUMNS, PAPER, TaskScore, join, positions, score_tasks, task_table
from shards.human.pal_files import TASKS

TASK_OF = {"a": "ldm", "b": "stylegan2", "c": "ldm", "d": "blobgan", "e": "cvton"}
ROWS = [("a", (1, 2, 1, 5)), ("b", (0, 0, 0, 9)), ("c", (3, 0, 1, 5)), ("d", (1, 1, 0, 7)), ("e", (0, 4, 0, 5))]


def test_the_columns_are_the_importers_tasks():
    assert tuple(task for task, _ in COLUMNS) == TASKS
    assert all(len(row) == len(COLUMNS) for row in PAPER.values())


def test_counts_are_summed_before_the_ratio():
    scores = score_tasks(ROWS, TASK_OF)
    assert list(scores) == ["stylegan2", "ldm", "cvton", "blobgan"]
    assert scores["ldm"] == TaskScore(2, 4, 2, 2)
    assert scores["ldm"].artifact_iou == 0.5
    assert scores["stylegan2"].artifact_iou is None
    assert scores["cvton"].artifact_iou == 0.0


def test_positions_take_any_array_apart():
    assert positions([key for key, _ in ROWS], TASK_OF) == {
        "stylegan2": [1],
        "ldm": [0, 2],
        "cvton": [4],
        "blobgan": [3],
    }


def test_the_table_cell_by_cell():
    lines = task_table({"ours": score_tasks(ROWS, TASK_OF)}).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    headings = "artifact IoU % StyleGAN2 LDMs AnyRes SR Inpaint E2I M2I T2I Comp. VTON PSR blobgan"
    assert " ".join(rows[0]) == headings
    assert rows[2][:3] == ["specialist (paper)", "37.85", "35.39"]
    assert rows[3][-2:] == ["5.10", "-"]
    assert rows[4] == ["ours", "n/a", "50.00", *["-"] * 7, "0.00", "-", "50.00"]
    assert rows[5] == ["images", "1", "2", *["-"] * 7, "1", "-", "1"]
    assert len({len(row) for row in rows}) == 1


def test_specialists_are_joined_task_by_task():
    parts = [{"ldm": TaskScore(1, 1, 0, 0)}, {"stylegan2": TaskScore(2, 1, 1, 0)}]
    assert list(join(*parts)) == ["stylegan2", "ldm"]
    with pytest.raises(ValueError, match="ldm was scored twice"):
        join(parts[0], parts[0])


def test_methods_on_different_images_show_both_numbers():
    methods = {"one": {"ldm": TaskScore(5, 1, 0, 0)}, "two": {"ldm": TaskScore(7, 1, 0, 0)}}
    assert "| 5/7 |" in task_table(methods, paper=False)


def test_keys_must_fit():
    with pytest.raises(ValueError, match="key x has no task"):
        score_tasks([("x", (0, 0, 0))], TASK_OF)
    with pytest.raises(ValueError, match="key a occurs twice"):
        score_tasks([ROWS[0], ROWS[0]], TASK_OF)
