"""A training stage: a detector, its threshold chosen on the validation set, then looked at on every test set.

FOLDER/train/            as `python -m detector train` leaves it
FOLDER/done.json         what was trained and chosen; written when the training is done
FOLDER/tests/DIGEST/     counts.npz, resamples-N.npz and, written last, scores.json of one test set
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.cells import save_resamples
from ablation.content import contents_of
from ablation.facts import count_labels
from ablation.plan import Test
from ablation.stages import DECODED, DONE, TrainWork, is_done, read_done
from detector.config import load_config, set_seed
from detector.folder import RUN
from detector.heat import Detector
from detector.score.api import Collector
from detector.score.counts import Counts
from detector.score.counts_io import save_counts
from detector.score.metrics import best_threshold, point_values
from detector.train import WEIGHTS, Job, train
from shards.config import find_config
from shards.decoded import DecodedShards
from shards.errors import ConfigError
from shards.files import make_folder, write_json
from shards.reader import ShardReader

SCORES = "scores.json"
BATCH = 32
LEAST_THRESHOLD = 0.5 / 255
"""The lowest that a map of 8-bit scores tells from 0."""


@dataclass(frozen=True)
class Look:
    """A detector that looks at labelled sets."""

    detector: Detector
    decoded: Path
    """Folder of decoded pictures (shards.decoded)."""
    limit: int
    """Look at the first so many; 0 for all."""

    def at(self, where: str, threshold: float) -> Counts:
        """Counts of a set at a threshold."""
        reader = ShardReader(where)
        pictures = DecodedShards(reader, self.decoded)
        size = min(self.limit, len(reader)) if self.limit else len(reader)
        collector = Collector(threshold)
        for first in range(0, size, BATCH):
            loaded = [pictures.load(i) for i in range(first, min(first + BATCH, size))]
            heats = self.detector.heat([image for image, _ in loaded])
            for i, (_, mask), heat in zip(itertools.count(first), loaded, heats, strict=False):
                collector.add(reader.key(i), mask, heat)
        return collector.counts()


def test_folder(folder: Path, test: Test) -> Path:
    return folder / "tests" / test.digest[:16]


def is_tested(folder: Path, tests: Sequence[Test]) -> bool:
    return all((test_folder(folder, test) / SCORES).is_file() for test in tests)


def run_training(work: TrainWork, stages: Path, name: str, tests: Sequence[Test], resamples: int) -> None:
    """Train and test, each only where that is not done. Raises UserErrors."""
    folder = stages / name
    if not is_done(stages, name):
        make_folder(folder)
        write_json(folder / DONE, train_and_choose(work, stages, folder))
    if is_tested(folder, tests):
        return
    detector = Detector(folder / "train" / WEIGHTS)
    threshold = read_done(stages, name)["threshold"]
    for test in tests:
        if not (test_folder(folder, test) / SCORES).is_file():
            look = Look(detector, stages.parent / DECODED, work.limit)
            run_test(look, threshold, test, test_folder(folder, test), resamples)


def train_and_choose(work: TrainWork, stages: Path, folder: Path) -> dict[str, Any]:
    """The detector and its threshold, that of the largest artifact IoU on the validation set."""
    began, cpu = time.monotonic(), time.process_time()
    data = str(work.data.folder(stages))
    check_made(work, stages)
    reader = ShardReader(data)
    if work.samples > len(reader):
        raise ConfigError(f"{work.samples} samples are asked for, {data} has {len(reader)}; ask for fewer or make more")
    if (folder / "train").is_dir() and not (folder / "train" / RUN).is_file():
        shutil.rmtree(folder / "train")  # killed before it said what it is
    decoded = stages.parent / DECODED
    record = train(training_job(work, data, folder / "train", decoded))
    look = Look(Detector(folder / "train" / WEIGHTS), decoded, work.limit)
    chosen = look.at(work.validation, 0.5)
    threshold = max(best_threshold(chosen) or 0.5, LEAST_THRESHOLD)
    return {
        "backbone": work.backbone,
        "seed": work.seed,
        "iterations": record["iterations"],
        "chosen_iteration": record["validation_best"].get("iteration", record["iterations"]),
        "threshold": threshold,
        "validation": clean_numbers(point_values(look.at(work.validation, threshold))),
        "trained_on": count_labels(reader, work.samples or len(reader)),
        "weights_sha256": record["weights_sha256"],
        "parameters": record["parameters"],
        "device": record["device"],
        "versions": record["versions"],
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def check_made(work: TrainWork, stages: Path) -> None:
    """Raise ConfigError where the stage before came to its end without a sample."""
    if work.data.stage:
        told = read_done(stages, work.data.stage)
        if not told["samples"]:
            reasons = ", ".join(f"{reason} {count}" for reason, count in told["rejects"].items())
            raise ConfigError(f"its run made no sample; rejected: {reasons or 'nothing'}; change the arm")


def training_job(work: TrainWork, data: str, out: Path, decoded: Path) -> Job:
    """The validation set chooses the weights as well, by the artifact IoU at the best threshold for them."""
    path = find_config(f"configs/detector/{work.backbone}.py")
    config = load_config(path, work.overrides, work.iterations or None)
    set_seed(config, work.seed)
    config.val_score = "val/best_artifact_iou"
    config.train_dataloader.dataset.limit = work.samples
    config.val_dataloader.dataset.limit = work.limit
    config.train_dataloader.dataset.decoded = config.val_dataloader.dataset.decoded = str(decoded)
    return Job(config, work.backbone, out, (data,), (work.validation,))


def run_test(look: Look, threshold: float, test: Test, folder: Path, resamples: int) -> None:
    """Counts, resamples and scores of a test set."""
    counts = look.at(test.folder, threshold)
    make_folder(folder)
    save_counts(folder, [counts])
    points = save_resamples(folder, counts, resamples, contents_of(test.folder, look.limit))
    write_json(folder / SCORES, clean_numbers(points))


def read_scores(folder: Path, test: Test) -> dict[str, float | None]:
    """Every metric of a finished test, None where it is not defined."""
    found: dict[str, float | None] = json.loads((test_folder(folder, test) / SCORES).read_bytes())
    return found


def clean_numbers(values: dict[str, float]) -> dict[str, float | None]:
    """NaN as None, for JSON."""
    return {name: None if value != value else round(value, 6) for name, value in values.items()}
