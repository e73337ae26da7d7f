"""The pictures of the study, their repair, the oracle's word, and the table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from applications.repair.inpainter import open_inpainter
from applications.repair.options import FillOptions, RepairOptions
from applications.repair.run import repair
from experiments.plot import rows_with_intervals
from experiments.repair.examples import outcome, write_examples
from experiments.repair.oracle import has_fault
from miniworld.world.scenes import sample_scene
from shards.claims import Claim
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes, write_json
from shards.images import encode_image
from shards.markdown import table
from shards.places import public_text
from shards.pool import open_pool
from shards.progress import progress
from shards.reader import ShardReader
from shards.seeds import named_rng

RESAMPLES = 2000


@dataclass(frozen=True)
class Study:
    """What is repaired, and with what."""

    set: str
    detectors: tuple[Path, ...]
    """One for all seeds, or one for each."""
    thresholds: tuple[float, ...]
    """Of the detectors."""
    inpainter: str
    faulty: int
    clean: int
    seeds: int

    def __post_init__(self) -> None:
        if len(self.detectors) not in (1, self.seeds) or len(self.thresholds) not in (1, len(self.detectors)):
            raise ConfigError(
                f"{len(self.detectors)} detectors with {len(self.thresholds)} thresholds for {self.seeds} seeds; "
                "needed: one for all seeds or one for each, and one threshold for all detectors or one for each"
            )

    def seen_by(self, seed: int) -> tuple[Path, float]:
        """The detector of a seed, and its threshold."""
        detector = seed if len(self.detectors) > 1 else 0
        return self.detectors[detector], self.thresholds[detector if len(self.thresholds) > 1 else 0]


@dataclass(frozen=True)
class Arm:
    """One way to repair."""

    name: str
    options: RepairOptions
    fill: FillOptions


@dataclass(frozen=True)
class Picture:
    """A picture of the study: its key, its scene's seed, and whether the oracle finds a fault in it as it comes."""

    key: str
    seed: int
    faulty: bool
    kinds: frozenset[str] = frozenset()
    """Of things that its caption asks for."""


def run_study(study: Study, arms: Sequence[Arm], out: Path, processes: int) -> str:
    """Repair in every way, judge, write OUT/study.json, .md, .png and .webp (examples); the table. Raises UserError."""
    identity = {**dataclasses.asdict(study), "detectors": [str(path) for path in study.detectors]}
    make_folder(out)
    with Claim(out, "run.json", identity, "study").held():
        pictures = lay_out(study, out / "pictures")
        judged = judge_all(
            [Task(study, arm, seed, out) for arm in arms for seed in range(study.seeds)], pictures, processes
        )
        each = [judged[at : at + study.seeds] for at in range(0, len(judged), study.seeds)]
        rows = [row_of(arm, pictures, some) for arm, some in zip(arms, each, strict=True)]
        reference = rows[-1]
        text = as_table(rows, reference, study)
        write_json(
            out / "study.json",
            {"study": identity, "rows": [{k: v for k, v in row.items() if k != "after"} for row in rows]},
        )
        write_bytes(out / "study.md", text.encode())
        write_bytes(out / "study.png", as_figure(rows))
        show_examples(out, folder_of(arms[-1], 0), pictures, each[-1][0])
    return text


def show_examples(out: Path, folder: str, pictures: Sequence[Picture], judged: dict[str, Any]) -> None:
    """Some pictures of one way and seed, as OUT/study.webp. Raises OutputError."""
    fates = [
        outcome(picture.faulty, after, changed)
        for picture, after, changed in zip(pictures, judged["after"], judged["changed"], strict=True)
    ]
    keys = [picture.key for picture in pictures]
    write_examples(out / "study.webp", out / "pictures", out / "arms" / folder, keys, fates)


def lay_out(study: Study, folder: Path) -> list[Picture]:
    """The first pictures of the set with and without a fault, as files with captions. Raises ConfigError."""
    reader = ShardReader(study.set)
    make_folder(folder)
    wanted = {True: study.faulty, False: study.clean}
    found: list[Picture] = []
    for index in range(len(reader)):
        meta = reader.meta(index)
        faulty = meta.label == "artifact"
        if not wanted[faulty]:
            continue
        wanted[faulty] -= 1
        key = reader.key(index)
        found.append(Picture(key, meta.seed, faulty, frozenset(one.kind for one in sample_scene(meta.seed).things)))
        if not (folder / f"{key}.txt").exists():
            write_bytes(folder / f"{key}.png", encode_image(reader.image(index), "png"))
            write_bytes(folder / f"{key}.txt", meta.source.caption.encode())
    if any(wanted.values()):
        raise ConfigError(
            f"{public_text(study.set, 'set')} lacks {wanted[True]} pictures with a fault and {wanted[False]} without; "
            "ask for fewer"
        )
    return found


@dataclass(frozen=True)
class Task:
    """All pictures in one way with one seed."""

    study: Study
    arm: Arm
    seed: int
    out: Path


def judge_all(tasks: Sequence[Task], pictures: Sequence[Picture], processes: int) -> list[dict[str, Any]]:
    """The tasks side by side; on a card one after another, and the oracle's pictures side by side."""
    import torch

    if torch.cuda.is_available() or processes == 1 or len(tasks) == 1:
        return [judge(pictures, processes, task) for task in tasks]
    with open_pool(min(processes, len(tasks))) as pool:
        return list(pool.imap(partial(judge, pictures, 1), tasks))


def folder_of(arm: Arm, seed: int) -> str:
    """Name of the folder of a way and a seed."""
    return arm.name.replace(", ", "_").replace(" ", "") + f"_{seed}"


def judge(pictures: Sequence[Picture], processes: int, task: Task) -> dict[str, Any]:
    """Repair with one seed; what the oracle says of each picture afterwards, and what the detector says."""
    study, arm = task.study, task.arm
    name = folder_of(arm, task.seed)
    folder, file = task.out / "arms" / name, task.out / "arms" / f"{name}.json"
    detector, threshold = study.seen_by(task.seed)
    options = dataclasses.replace(arm.options, seed=task.seed, threshold=threshold)
    inpainter = open_inpainter(study.inpainter, options=arm.fill, device=options.device)
    repair(str(task.out / "pictures"), detector, inpainter, folder, options)
    if file.exists():
        told: dict[str, Any] = json.loads(file.read_text())
        return told
    lines = [json.loads(line) for line in (folder / "repair.jsonl").read_text().splitlines()]
    changed = {line["key"] for line in lines if line["changed_pixels"]}
    asked = [(folder / "pictures" / f"{one.key}.png", one.seed) for one in pictures if one.key in changed]
    said = ask_oracle(asked, processes)
    result = {
        "after": [said.get(one.key, one.faulty) for one in pictures],
        "changed": [one.key in changed for one in pictures],
        "par_before": float(np.mean([line["par_before"] for line in lines])),
        "par_after": float(np.mean([line["par_after"] for line in lines])),
    }
    write_json(file, result)
    return result


def ask_oracle(tasks: Sequence[tuple[Path, int]], processes: int) -> dict[str, bool]:
    """By key, whether there is a fault in a picture file, given the seed of its scene."""
    keys = [path.stem for path, _ in tasks]
    if processes == 1 or len(tasks) < 2:
        return dict(zip(keys, progress(map(has_fault, tasks), "picture", "oracle", total=len(tasks)), strict=True))
    with open_pool(min(processes, len(tasks))) as pool:
        answers = pool.imap(has_fault, tasks)
        return dict(zip(keys, progress(answers, "picture", "oracle", total=len(tasks)), strict=True))


def row_of(arm: Arm, pictures: Sequence[Picture], judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one arm; shares are means over seeds, intervals over pictures."""
    after = np.array([one["after"] for one in judged], bool)
    faulty = np.array([one.faulty for one in pictures])
    signs = np.array(["sign" in one.kinds for one in pictures])
    return {
        "name": arm.name,
        "after": after,
        "fixed": interval((~after[:, faulty]).mean(0)),
        "fixed_no_sign": interval((~after[:, faulty & ~signs]).mean(0)),
        "fixed_sign": interval((~after[:, faulty & signs]).mean(0)),
        "signs": int((faulty & signs).sum()),
        "gained": interval(after[:, ~faulty].mean(0)),
        "changed_faulty": float(np.array([one["changed"] for one in judged])[:, faulty].mean()),
        "changed_clean": float(np.array([one["changed"] for one in judged])[:, ~faulty].mean())
        if (~faulty).any()
        else 0.0,
        "par_before": float(np.mean([one["par_before"] for one in judged])),
        "par_after": float(np.mean([one["par_after"] for one in judged])),
        "faulty": faulty.tolist(),
    }


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over pictures with its 95% percentile bootstrap interval; 0 to 1 where there are none."""
    if not len(values):
        return 0.0, 0.0, 1.0
    draws = named_rng("repair study").integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def as_table(rows: Sequence[dict[str, Any]], reference: dict[str, Any], study: Study) -> str:
    """Markdown: one line an arm, the difference to the last arm beside it."""
    faulty = np.array(reference["faulty"])
    lines = []
    for row in rows:
        fixed = (~row["after"][:, faulty]).mean(0) - (~reference["after"][:, faulty]).mean(0)
        lines.append(
            (
                row["name"], percent(row["fixed"]), percent(interval(fixed)) if row is not reference else "",
                percent(row["fixed_no_sign"]), percent(row["gained"]), f"{row['changed_faulty']:.1%}",
                f"{row['changed_clean']:.1%}", f"{row['par_before']:.4f}", f"{row['par_after']:.4f}",
            )
        )  # fmt: skip
    heads = [
        "way", "faulty: none after", f"minus {reference['name']}", "of those without a sign", "clean: gained one",
        "faulty changed", "clean changed", "PAR before", "PAR after",
    ]  # fmt: skip
    about = (
        f"{study.faulty} pictures with a fault ({reference['signs']} ask for a sign), {study.clean} without, "
        f"{study.seeds} seeds; 95% over pictures."
    )
    return table(heads, lines, numbers=True) + f"\n\n{about}\n"


def percent(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.1%} ({found[1]:.1%} to {found[2]:.1%})"


def as_figure(rows: Sequence[dict[str, Any]]) -> bytes:
    """PNG: of each way the share of faulty pictures without a fault after, and of clean ones that gained one."""
    series = [
        (label, [in_percent(row[key]) for row in rows])
        for label, key in (("faulty: none after", "fixed"), ("clean: gained one", "gained"))
    ]
    return rows_with_intervals([row["name"] for row in rows], series, "pictures, %", None)


def in_percent(found: tuple[float, float, float]) -> tuple[float, float, float]:
    """In percent."""
    return 100 * found[0], 100 * found[1], 100 * found[2]
