"""Doing a stage, or a share of one: what the processes of a run call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.plan import SELECTED, Plan
from ablation.stages import DONE, DerivedWork, LineWork, MadeWork, Selected, Stage, TrainWork, is_done, read_done
from corruptor.line.config import LineConfig
from shards.config import config_hash, make_config
from shards.errors import MissingInputError
from shards.files import make_folder, write_json
from shards.masks import ARTIFACT
from shards.reader import ShardReader


@dataclass(frozen=True)
class Task:
    """What one process does: the `rank`-th share of one stage, or of runs of the line that are made together."""

    stages: tuple[str, ...]
    needs: tuple[str, ...]
    title: str
    rank: int = 0
    num_ranks: int = 1

    @property
    def group(self) -> tuple[str, ...]:
        """The same for all shares."""
        return self.stages


def tasks_of(plan: Plan, stages: Path, processes: int) -> list[Task]:
    """All that is to be done, in the order in which it is best begun: what others wait for comes first."""
    todo = [stage for stage in plan.stages.values() if not finished(plan, stages, stage)]
    waited_for = {need for stage in plan.stages.values() for need in stage.needs}
    grouped: dict[str, list[Stage]] = {}
    for stage in todo:
        grouped.setdefault(f"{together(stage)}/{depth(plan, stage)}", []).append(stage)
    groups = sorted(grouped.values(), key=lambda group: not any(one.name in waited_for for one in group))
    return [task for group in groups for task in shares(group, 1 if group[0].kind == "train" else processes)]


def finished(plan: Plan, stages: Path, stage: Stage) -> bool:
    """Whether nothing is left to do; a training of the table is to be tested as well."""
    if not is_done(stages, stage.name):
        return False
    if stage.kind != "train" or stage.name not in {job.stage for job in plan.jobs}:
        return True
    from ablation.train import is_tested

    return is_tested(stages / stage.name, plan.tests)


def depth(plan: Plan, stage: Stage) -> int:
    """How many runs of the line come before a stage, one after another; runs made together have as many."""
    return max((depth(plan, before) + (before.kind == "shards") for before in needed(plan, stage)), default=0)


def needed(plan: Plan, stage: Stage) -> list[Stage]:
    return [plan.stages[name] for name in stage.needs]


def together(stage: Stage) -> str:
    """The same for runs of the line that may share inversions: the same pictures at the same size, the same model."""
    if not isinstance(stage.work, LineWork):
        return stage.name
    values = stage.work.values
    alike = {name: values[name] for name in ("source", "model", "size", "compute", "seed")}
    return config_hash(
        {
            **alike,
            "shard": values["samples"]["sources_per_shard"],
            "sources": stage.work.sources.identity if stage.work.sources else "",
        }
    )


def shares(group: Sequence[Stage], num: int) -> list[Task]:
    """Tasks of stages that are made together."""
    names = tuple(stage.name for stage in group)
    before = tuple(dict.fromkeys(need for stage in group for need in stage.needs))
    kinds = {"made": "set", "shards": "shards", "derived": "labels", "train": "train"}
    title = f"{kinds[group[0].kind]}: {'; '.join(stage.title for stage in group)}"
    return [Task(names, before, title, rank, num) for rank in range(num)]


def perform(task: Task, plan: Plan, stages: Path) -> None:
    """Do it. Raises UserErrors, and whatever else goes wrong."""
    import torch

    torch.set_num_threads(1)
    chosen = [plan.stages[name] for name in task.stages]
    work = chosen[0].work
    if isinstance(work, MadeWork):
        perform_made(work, stages, chosen[0].name, task.rank, task.num_ranks)
    elif isinstance(work, DerivedWork):
        perform_derived(work, stages, chosen[0].name, task.rank, task.num_ranks)
    elif isinstance(work, TrainWork):
        from ablation.train import run_training

        in_table = chosen[0].name in {job.stage for job in plan.jobs}
        run_training(work, stages, chosen[0].name, plan.tests if in_table else (), plan.grid.resamples)
    else:
        perform_line(chosen, stages, task.rank, task.num_ranks)


def perform_made(work: MadeWork, stages: Path, name: str, rank: int, num_ranks: int) -> None:
    """A share of a sampled set."""
    from corruptor.line.run import find_model
    from miniworld.sets import SETS, Job, make_shard, open_run

    made = work.made
    weights = Path(find_model(made.weights))
    if not (weights / "model_index.json").is_file():
        raise MissingInputError(f"{weights} holds no generator: train one with `python -m miniworld train`")
    make_folder(stages / name)
    job = Job(stages / name, weights, made.steps, made.guidance, made.count / SETS[made.set].count)
    run = open_run(job, made.set)
    for shard in run.todo():
        if shard % num_ranks == rank:
            make_shard((job, made.set, shard))
    end(run, stages, name, stages / name / made.set)


def perform_derived(work: DerivedWork, stages: Path, name: str, rank: int, num_ranks: int) -> None:
    """A share of derived samples."""
    from ablation.derive import Derivation

    make_folder(stages / name)
    out = stages / name / "run"
    derivation = Derivation(work, stages)
    run = derivation.open(out)
    derivation.make(run, rank, num_ranks)
    end(run, stages, name, out)


def perform_line(chosen: Sequence[Stage], stages: Path, rank: int, num_ranks: int) -> None:
    """A share of runs that are made together: what they have in common is computed once (corruptor/line/shared.py)."""
    from corruptor.line.report import is_complete
    from corruptor.line.shared import make_runs

    runs = [(line_config(stage, stages), stages / stage.name / "run") for stage in chosen]
    make_runs(runs, rank, num_ranks)
    for stage, (_, out) in zip(chosen, runs, strict=True):
        if is_complete(out):
            mark(stages, stage.name, out)


def end(run: Any, stages: Path, name: str, out: Path) -> None:
    """Whoever makes the last shard closes the run."""
    if not run.todo():
        with run.alone():
            run.finalise()
        mark(stages, name, out)


def mark(stages: Path, name: str, out: Path) -> None:
    """Say that a set is whole, with what it is like."""
    from ablation.facts import facts_of

    if not is_done(stages, name):
        write_json(stages / name / DONE, facts_of(out))


def line_config(stage: Stage, stages: Path) -> LineConfig:
    """The config of a run, now that its sources and its selector are there. Raises ConfigError."""
    work = stage.work
    assert isinstance(work, LineWork)
    values: dict[str, Any] = json.loads(json.dumps(work.values))
    options = values["source"]["options"]
    if work.sources is not None and options.get("where") == SELECTED:
        options["where"] = str(work.sources.folder(stages))
    if work.selected is not None:
        told = selector_options(work.selected, stages)
        region = values["region"]["options"]
        region.update({key: told[key] for key, value in region.items() if value == SELECTED})
    return make_config(values, LineConfig, stage.title)


def selector_options(selected: Selected, stages: Path) -> dict[str, Any]:
    """What a trained detector decides of the policy `learned`: weights, threshold, mean labelled area."""
    from detector.train import WEIGHTS

    reader = ShardReader(selected.data.folder(stages))
    size = selected.samples or len(reader)
    areas = [float((reader.mask(i) == ARTIFACT).mean()) for i in range(size)]
    return {
        "weights": str(stages / selected.stage / "train" / WEIGHTS),
        "tau": read_done(stages, selected.stage)["threshold"],
        "fallback_area": round(sum(areas) / len(areas), 6),
    }
