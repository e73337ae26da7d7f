"""Tables 1 and 2, and the paired differences of their arms."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.cells import Cell, cell_of
from ablation.content import contents_of
from ablation.grid import MATCHED
from detector.score.pal_table import COLUMNS
from experiments.msr import paper
from experiments.msr.arms import Bench
from experiments.msr.plan import Arm, LabelledSet
from experiments.msr.sets import ALL
from experiments.msr.table import UNDEFINED, Table, figures, frozen, over_seeds, percent
from shards.errors import ConfigError

FIGURES = ("artifact_iou", "pixel_ap", "image_auroc_max", MATCHED)
"""Of a set that is not told apart by task. The last is among pictures that show the same kinds of things, which the
embedded world knows."""


def arms_table(bench: Bench) -> Table:
    """A row an arm; of each set its figures, or each task's artifact IoU."""
    arms, by_task = bench.config.arms, [test for test in bench.config.tests if test.by == "task"]
    head, rows = ["arm"], [[name] for name in (*(paper.TASK_ROWS if by_task else ()), *(arm.name for arm in arms))]
    told = len(rows) - len(arms)
    for test in bench.config.tests:
        if test in by_task:
            head += [title for _, title in COLUMNS]
            cells = [[f"{value:.2f}" for value in row] for row in paper.TASK_ROWS.values()]
            cells += [[task_cell(bench, arm, test, task) for task, _ in COLUMNS] for arm in arms]
        else:
            found = [cell(bench, arm, test) for arm in arms]
            mine = [[percent(one.estimate(name)) for name in FIGURES] for one in found]
            kept = defined(mine)
            head += [titled(test, FIGURES[column]) for column in kept]
            cells = [["-"] * len(kept)] * told + [[row[column] for column in kept] for row in mine]
        for row, more in zip(rows, cells, strict=True):
            row += more
    return Table("arms", "Tables 1 and 2: labels and what they are worth", tuple(head), frozen(rows))


def differences_table(bench: Bench) -> Table:
    """Arms of the first table side by side: every resample draws the same pictures for both."""
    arms = {arm.name: arm for arm in bench.config.arms}
    head, rows = ["difference"], [[f"{first} - {second}"] for first, second in bench.config.compare]
    for test in (one for one in bench.config.tests if one.by != "task"):
        cells = {name: cell(bench, arms[name], test) for pair in bench.config.compare for name in pair}
        found = [
            [percent(cells[first].minus(cells[second], name)) for name in FIGURES]
            for first, second in bench.config.compare
        ]
        kept = defined(found)
        head += [titled(test, FIGURES[column]) for column in kept]
        for row, more in zip(rows, found, strict=True):
            row += [more[column] for column in kept]
    return Table("differences", "Paired differences, in points", tuple(head), frozen(rows))


def titled(test: LabelledSet, figure: str) -> str:
    return f"{test.name}: {figure.replace('_', ' ')}"


def defined(rows: Sequence[Sequence[str]]) -> list[int]:
    """Columns in which any row has a figure."""
    return [column for column in range(len(FIGURES)) if any(row[column] != UNDEFINED for row in rows)]


def cell(bench: Bench, arm: Arm, test: LabelledSet) -> Cell:
    """An arm's figures on a set, with resamples. Raises ConfigError for an arm that has a training a task."""
    if arm.is_specialist:
        raise ConfigError(f"{arm.name} has a training for each task of PAL, and {test.name} has no tasks")
    counts = [seen["", bench.config.threshold, ALL] for seen in over_seeds(bench, arm, test)]
    return cell_of(counts, bench.config.resamples, contents_of(test.shards, bench.config.limit))


def task_cell(bench: Bench, arm: Arm, test: LabelledSet, task: str) -> str:
    """Artifact IoU on the pictures of one task."""
    seeds = over_seeds(bench, arm.of_task(task), test)
    there = all(("", bench.config.threshold, task) in seen for seen in seeds)
    return percent(figures(bench, seeds, group=task)["artifact_iou"] if there else None)
