"""Tidy rows, one for each arm, backbone, seed and test set, and the cells of the tables. Reads counts, no pixels."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.cells import Cell, load_cell
from ablation.content import content_alone, contents_of, read_contents
from ablation.grid import MATCHED
from ablation.plan import Job, Plan
from ablation.stages import is_done, read_done
from ablation.train import is_tested, read_scores, test_folder
from detector.score.bootstrap import LEVEL
from detector.score.metrics import METRICS
from shards.build import plain
from shards.files import write_bytes, write_json

CSV, JSON, SCHEMA_VERSION = "rows.csv", "rows.json", 1
Cells = dict[tuple[str, str, str], Cell]
"""By (arm, backbone, name of the test set)."""


def is_ready(plan: Plan, stages: Path, job: Job) -> bool:
    return is_done(stages, job.stage) and is_tested(stages / job.stage, plan.tests)


def make_rows(plan: Plan, stages: Path) -> list[dict[str, Any]]:
    """A row a finished training and test set: every metric as a ratio 0..1 (None where not defined), counts, origin."""
    rows = []
    for job in plan.jobs:
        if not is_ready(plan, stages, job):
            continue
        told, arm = read_done(stages, job.stage), plan.grid.arm(job.arm)
        for test in plan.tests:
            cell = load_cell([test_folder(stages / job.stage, test)], plan.grid.resamples)
            rows.append(
                {
                    "arm": job.arm,
                    "value": arm.value,
                    "series": arm.series,
                    "backbone": job.backbone,
                    "seed": job.seed,
                    "test": test.name,
                    **dict(zip(("images", "artifact_images", "clean_images"), cell.images, strict=True)),
                    **read_scores(stages / job.stage, test),
                    **{f"trained_{name}": count for name, count in told["trained_on"].items()},
                    **{name: told[name] for name in ("threshold", "iterations", "chosen_iteration", "parameters")},
                    **{name: told[name] for name in ("seconds", "cpu_seconds", "device", "weights_sha256")},
                    "stage": job.stage,
                    "data": plan.data[job.arm].identity,
                    "test_digest": test.digest,
                }
            )
    return rows


def load_cells(plan: Plan, stages: Path) -> Cells:
    """Every arm and backbone of which all seeds are done."""
    cells: Cells = {}
    for arm in plan.grid.arms:
        for backbone in plan.grid.backbones:
            jobs = [job for job in plan.jobs if (job.arm, job.backbone) == (arm.name, backbone)]
            if all(is_ready(plan, stages, job) for job in jobs):
                for test in plan.tests:
                    folders = [test_folder(stages / job.stage, test) for job in jobs]
                    cells[arm.name, backbone, test.name] = load_cell(folders, plan.grid.resamples)
    return cells


def make_validation(plan: Plan, stages: Path) -> list[dict[str, Any]]:
    """Of every arm and backbone with all seeds done, each seed's scores on the validation set, in order of seeds."""
    found = []
    for arm in plan.grid.arms:
        for backbone in plan.grid.backbones:
            jobs = [job for job in plan.jobs if (job.arm, job.backbone) == (arm.name, backbone)]
            if all(is_ready(plan, stages, job) for job in jobs):
                each = [read_done(stages, job.stage)["validation"] for job in jobs]
                scores = {metric: [one[metric] for one in each] for metric in each[0]}
                found.append({"arm": arm.name, "backbone": backbone, "scores": scores})
    return found


def make_differences(plan: Plan, cells: Cells) -> list[dict[str, Any]]:
    """The pairs that the grid compares, first minus second, on every test set."""
    found = []
    for first, second in plan.grid.compare:
        for backbone in plan.grid.backbones:
            for test in plan.tests:
                one, other = cells.get((first, backbone, test.name)), cells.get((second, backbone, test.name))
                if one is not None and other is not None:
                    told = {metric: dataclasses.asdict(one.minus(other, metric)) for metric in one.points}
                    names = {"first": first, "second": second, "backbone": backbone, "test": test.name}
                    found.append({**names, "metrics": told})
    return found


def make_recovered(plan: Plan, cells: Cells) -> list[dict[str, Any]]:
    """Of the grid's gaps, on every test set: what share of the distance from floor to ceiling an arm recovers."""
    found = []
    for names in plan.grid.gaps:
        for backbone in plan.grid.backbones:
            for test in plan.tests:
                arm, floor, ceiling = (cells.get((name, backbone, test.name)) for name in names)
                if arm is not None and floor is not None and ceiling is not None:
                    told = {m: dataclasses.asdict(arm.recovered(floor, ceiling, m)) for m in arm.points}
                    named = dict(zip(("arm", "floor", "ceiling"), names, strict=True))
                    found.append({**named, "backbone": backbone, "test": test.name, "metrics": told})
    return found


def make_means(cells: Cells) -> list[dict[str, Any]]:
    """Every metric of every cell."""
    return [
        {
            "arm": arm,
            "backbone": backbone,
            "test": test,
            "metrics": {metric: dataclasses.asdict(cell.estimate(metric)) for metric in cell.points},
        }
        for (arm, backbone, test), cell in cells.items()
    ]


def made_facts(plan: Plan, stages: Path) -> dict[str, dict[str, Any]]:
    """What the samples of each arm are like, where they are a stage's."""
    return {
        name: read_done(stages, data.stage)
        for name, data in plan.data.items()
        if data.stage and is_done(stages, data.stage)
    }


def collect(plan: Plan, stages: Path, failed: Mapping[str, str], command: str) -> dict[str, Any]:
    """Everything that the tables are made from, as plain values."""
    from corruptor.machine import machine

    cells = load_cells(plan, stages)
    return {
        "schema": "blemish-ablation",
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "grid": plain(plan.grid),
        "bootstrap": {"unit": "image", "resamples": plan.grid.resamples, "level": LEVEL},
        "rows": make_rows(plan, stages),
        "means": make_means(cells),
        "validation": make_validation(plan, stages),
        "differences": make_differences(plan, cells),
        "recovered": make_recovered(plan, cells),
        "samples": made_facts(plan, stages),
        "content_alone": contents_alone(plan, stages),
        "failed": failed_arms(plan, failed),
        "trainings": len(plan.jobs),
    }


def contents_alone(plan: Plan, stages: Path) -> list[dict[str, Any]]:
    """Image AUROC of what captions name, scored by how often it is broken in the oracle's labels of an arm.

    For arms that learn from a sampled set, and tests of the embedded world with pictures of both sorts.
    """
    found = []
    for arm in plan.grid.arms:
        data = plan.data[arm.name]
        if arm.shards not in plan.grid.made or not is_done(stages, data.stage):
            continue
        learned = read_contents(data.folder(stages))
        for test in plan.tests:
            told = contents_of(test.folder, plan.grid.limit)
            if told and len({is_broken for _, is_broken in told.values()}) == 2:
                found.append({"arm": arm.name, "test": test.name, "value": content_alone(learned, told)})
        break
    return found


def failed_arms(plan: Plan, failed: Mapping[str, str]) -> dict[str, str]:
    """Arm -> why it lacks a training."""
    return {job.arm: failed[job.stage] for job in reversed(plan.jobs) if job.stage in failed}


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows under one head; an empty cell is not defined."""
    metrics = [metric.key for metric in METRICS] + [MATCHED]
    head = list(rows[0]) if rows else ["arm", "value", "series", "backbone", "seed", "test", *metrics]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def write_rows(out: Path, results: Mapping[str, Any]) -> None:
    """OUT/rows.csv and OUT/rows.json. Raises OutputError."""
    write_bytes(out / CSV, as_csv(results["rows"]).encode("utf-8", "backslashreplace"))
    write_json(out / JSON, results)
