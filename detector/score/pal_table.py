"""PAL's table: scores told apart by synthesis task, in the columns of table 1 of Zhang et al. 2023.

Pure: keys and integer counts in, Markdown out. Feed it the scorer's per-image counts,

    tasks = shards.human.pal.tasks_by_key("out/pal/unified/test")
    print(task_table({"ours": score_tasks(zip(counts.keys, counts.hits.tolist()), tasks)}))

The paper's "mIoU" is taken to be the artifact IoU over a task's whole set (a two-class mean could not be 0.0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shards.markdown import table

COLUMNS: tuple[tuple[str, str], ...] = (
    ("stylegan2", "StyleGAN2"),
    ("ldm", "LDMs"),
    ("anyresgan", "AnyRes"),
    ("super_resolution", "SR"),
    ("inpaint", "Inpaint"),
    ("edge2image", "E2I"),
    ("mask2image", "M2I"),
    ("text2image", "T2I"),
    ("latent_composition", "Comp."),
    ("cvton", "VTON"),
    ("portraitshadowremoval", "PSR"),
)
"""Task and heading, in the paper's order."""
PAPER: dict[str, tuple[float, ...]] = {
    "specialist (paper)": (37.85, 35.39, 9.15, 14.41, 42.07, 45.56, 35.01, 21.79, 25.31, 37.44, 21.33),
    "unified (paper)": (38.53, 30.86, 34.74, 11.92, 41.81, 46.01, 39.37, 19.65, 29.53, 38.07, 5.10),
}
"""Artifact IoU in percent, in the order of COLUMNS."""


@dataclass(frozen=True)
class TaskScore:
    """Pixel counts summed over the images of one task."""

    num_images: int
    tp: int
    fp: int
    fn: int

    @property
    def artifact_iou(self) -> float | None:
        """tp / (tp + fp + fn), 0..1; None where neither truth nor prediction holds a pixel."""
        union = self.tp + self.fp + self.fn
        return self.tp / union if union else None


def positions(keys: Sequence[str], tasks: Mapping[str, str]) -> dict[str, list[int]]:
    """Task -> places of its keys, so that any array over images can be taken apart; paper's tasks first, then others.

    Raises ValueError: a key without a task, or a key twice.
    """
    found: dict[str, list[int]] = {}
    seen: set[str] = set()
    for place, key in enumerate(keys):
        if key in seen:
            raise ValueError(f"key {key} occurs twice; score one run at a time and join the results by task")
        seen.add(key)
        if key not in tasks:
            raise ValueError(f"key {key} has no task; give the tasks of the same shards that were scored")
        found.setdefault(tasks[key], []).append(place)
    return {task: found[task] for task in ordered(found)}


def ordered(tasks: Iterable[str]) -> list[str]:
    """Tasks in the paper's order, those it has not behind them by name."""
    known = [task for task, _ in COLUMNS]
    there = set(tasks)
    return [task for task in known if task in there] + sorted(there - set(known))


def score_tasks(rows: Iterable[tuple[str, Sequence[int]]], tasks: Mapping[str, str]) -> dict[str, TaskScore]:
    """Per-image rows (key, (tp, fp, fn, ...)) -> the sums of each task. Further counts of a row are not looked at.

    Raises ValueError as `positions`.
    """
    rows = list(rows)
    scores = {}
    for task, places in positions([key for key, _ in rows], tasks).items():
        tp, fp, fn = (sum(int(rows[place][1][column]) for place in places) for column in range(3))
        scores[task] = TaskScore(len(places), tp, fp, fn)
    return scores


def join(*parts: Mapping[str, TaskScore]) -> dict[str, TaskScore]:
    """Scores of several runs, such as one specialist a task. Raises ValueError if a task is in two of them."""
    joined: dict[str, TaskScore] = {}
    for part in parts:
        for task, score in part.items():
            if task in joined:
                raise ValueError(f"task {task} was scored twice; join runs of different tasks")
            joined[task] = score
    return {task: joined[task] for task in ordered(joined)}


def task_table(methods: Mapping[str, Mapping[str, TaskScore]], paper: bool = True) -> str:
    """Markdown: a row a method, a column a task, artifact IoU in percent; n/a where it is not defined, - if not scored.

    The last row counts images (several numbers where methods differ). `paper` adds the paper's two rows.
    """
    others = [task for task in ordered({t for scores in methods.values() for t in scores}) if task not in dict(COLUMNS)]
    columns = [*COLUMNS, *((task, task) for task in others)]
    lines = []
    for name, row in PAPER.items() if paper else ():
        lines.append([name, *(f"{value:.2f}" for value in row), *("-" for _ in others)])
    for name, scores in methods.items():
        lines.append([name, *(cell(scores.get(task)) for task, _ in columns)])
    counts = [sorted({s[task].num_images for s in methods.values() if task in s}) for task, _ in columns]
    lines.append(["images", *("/".join(map(str, count)) or "-" for count in counts)])
    return table(["artifact IoU %", *(heading for _, heading in columns)], lines, numbers=True)


def cell(score: TaskScore | None) -> str:
    """One value of the table."""
    if score is None:
        return "-"
    return "n/a" if score.artifact_iou is None else f"{100 * score.artifact_iou:.2f}"
