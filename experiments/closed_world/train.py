"""One detector of the closed-world table: trained, its threshold chosen on the validation set, tested.

FOLDER/train/           as `python -m detector train` leaves it
FOLDER/SET/counts.npz   counts of each test set, as `python -m detector score` leaves them
FOLDER/row.json         written last: the training is done
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detector.config import load_config, set_seed
from detector.folder import RUN
from detector.heat import Detector
from detector.score.counts import Counts
from detector.score.metrics import best_threshold, point_values
from detector.score.pairs import Collector
from detector.score.store import save_counts
from detector.train import WEIGHTS, train
from detector.train import Job as Training
from experiments.closed_world.plan import LABELS, ORACLE, TESTS, WILD, Chosen, Job, Plan
from shards.files import make_folder, write_json
from shards.masks import ARTIFACT
from shards.reader import ShardReader

ROW = "row.json"
BATCH = 32
LEAST_THRESHOLD = 0.5 / 255
"""The lowest that a map of 8-bit scores tells from 0."""


def job_folder(out: Path, job: Job) -> Path:
    return out / "runs" / job.name


def shards_of(plan: Plan, out: Path, arm: str) -> str:
    """What an arm is trained on."""
    if arm == LABELS:
        return f"{plan.sets}/select"
    if arm == ORACLE:
        return str(out / WILD)
    from experiments.closed_world.make import arm_folder

    return str(arm_folder(out, arm))


def run_job(plan: Plan, out: Path, job: Job) -> dict[str, Any]:
    """Train and test, or read what was found before; returns the row. Raises UserErrors."""
    folder = job_folder(out, job)
    if (folder / ROW).is_file():
        row: dict[str, Any] = json.loads((folder / ROW).read_bytes())
        return row
    began, cpu = time.monotonic(), time.process_time()
    record = train_detector(plan, out, job, folder / "train")
    detector = Detector(folder / "train" / WEIGHTS)
    chosen = look(detector, f"{plan.sets}/validation", 0.5, plan.test_limit)
    threshold = max(best_threshold(chosen) or 0.5, LEAST_THRESHOLD)
    row = {
        "arm": job.arm,
        "backbone": job.backbone,
        "seed": job.seed,
        "iterations": record["iterations"],
        "chosen_iteration": record["validation_best"].get("iteration", record["iterations"]),
        "threshold": threshold,
        "validation": clean_numbers(point_values(chosen)),
        "trained_on": count_samples(shards_of(plan, out, job.arm)),
        "tests": {},
    }
    for name in TESTS:
        counts = look(detector, f"{plan.sets}/{name}", threshold, plan.test_limit)
        make_folder(folder / name)
        save_counts(folder / name, [counts])
        row["tests"][name] = clean_numbers(point_values(counts))
    row["seconds"] = round(time.monotonic() - began, 1)
    row["cpu_seconds"] = round(time.process_time() - cpu, 1)
    write_json(folder / ROW, row)
    return row


def train_detector(plan: Plan, out: Path, job: Job, folder: Path) -> dict[str, Any]:
    """Train, or go on. The validation set chooses the weights, by the artifact IoU at the best threshold for them."""
    if folder.is_dir() and not (folder / RUN).is_file():
        shutil.rmtree(folder)  # killed before it said what it is
    config = load_config(f"configs/detector/{job.backbone}.py", plan.detector_overrides, plan.iterations)
    set_seed(config, job.seed)
    config.val_score = "val/best_artifact_iou"  # the threshold is chosen there, too
    if plan.test_limit:
        config.val_dataloader.dataset.limit = plan.test_limit
    validation = (f"{plan.sets}/validation",)
    return train(Training(config, job.backbone, folder, (shards_of(plan, out, job.arm),), validation))


def look(detector: Detector, where: str, threshold: float, limit: int) -> Counts:
    """Counts of a set at a threshold; `limit` 0 for all its pictures."""
    reader = ShardReader(where)
    size = min(limit, len(reader)) if limit else len(reader)
    collector = Collector(threshold)
    for first in range(0, size, BATCH):
        places = range(first, min(first + BATCH, size))
        heats = detector.heat([reader.image(i) for i in places])
        for i, heat in zip(places, heats, strict=True):
            collector.add(reader.key(i), reader.mask(i), heat)
    return collector.counts()


def count_samples(where: str) -> dict[str, int]:
    """How many samples a training set has, by label."""
    reader = ShardReader(where)
    artifact = sum(reader.meta(i).label == "artifact" for i in range(len(reader)))
    return {"artifact": artifact, "clean": len(reader) - artifact}


def chosen_selector(plan: Plan, out: Path) -> Chosen:
    """The detector of 100 labels with the first backbone and seed; tau is its threshold on the validation set."""
    folder = job_folder(out, Job(LABELS, plan.backbones[0], 0))
    tau = json.loads((folder / ROW).read_bytes())["threshold"]
    reader = ShardReader(shards_of(plan, out, LABELS))
    areas = [float((reader.mask(i) == ARTIFACT).mean()) for i in range(len(reader))]
    return Chosen(str(folder / "train" / WEIGHTS), tau, round(sum(areas) / len(areas), 6))


def clean_numbers(values: dict[str, float]) -> dict[str, float | None]:
    """NaN as None, for JSON."""
    return {name: None if value != value else round(value, 6) for name, value in values.items()}


def read_rows(out: Path, jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """The rows that are there, in the order of the jobs."""
    paths = [job_folder(out, job) / ROW for job in jobs]
    return [json.loads(path.read_bytes()) for path in paths if path.is_file()]
