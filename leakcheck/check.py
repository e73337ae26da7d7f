"""`blemish leakcheck check`: does a detector find masks under which nothing was injected?

    OUT/MAKING/seed0/         a training, as `blemish detect train` leaves it
    OUT/MAKING/seed0-seen/    its heat maps of the shams, as `blemish detect predict` leaves them
    OUT/leakcheck.json, OUT/leakcheck.md   the table; written last
    OUT/progress.jsonl        how far it is, for `blemish status`

The same command again resumes where it was. What was made how is read from the samples, not from names of folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detector.errors import DataError
from leakcheck.statistics import (
    HALF_WIDTH,
    LIMIT,
    NAMES,
    Finding,
    Seen,
    as_markdown,
    conclusion,
    count,
    folder_name,
    judge,
)
from shards.claims import LOCK
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes, write_json
from shards.locks import Locks
from shards.masks import U8
from shards.pool import in_processes
from shards.progress import GOES_ON, progress
from shards.reader import ShardReader
from shards.run_log import RunLog, Work

JSON_NAME, MARKDOWN_NAME = "leakcheck.json", "leakcheck.md"


@dataclass(frozen=True)
class Making:
    """Two runs of one making: what detectors are trained on, and shams of other pictures."""

    train: str
    sham: str
    paste_back: bool
    raw_negatives: bool
    policy: str
    """Region policy of the shams."""
    trained_on: int

    @property
    def switches(self) -> tuple[bool, bool]:
        return self.paste_back, self.raw_negatives

    @property
    def folder(self) -> str:
        """Name of its folder below OUT."""
        return folder_name(self.switches)


@dataclass(frozen=True)
class Options:
    """How the detectors are trained and judged."""

    config: str = "configs/detector/swin_mini.py"
    overrides: tuple[str, ...] = ()
    iterations: int | None = None
    seeds: int = 1
    resamples: int = 1000
    processes: int = 1
    """Trainings at a time. With more than one each computes with one thread, which may change last digits."""
    bootstrap_seed: str = "leakcheck"

    def __post_init__(self) -> None:
        for name, most in (("seeds", 1000), ("resamples", 10**6), ("processes", 1024)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"--{name} is {getattr(self, name)}; needs 1 or more, at most {most}")


def leakcheck(pairs: Sequence[tuple[str, str]], out: Path, options: Options = Options()) -> tuple[bool, str]:
    """Train, look and judge; returns whether the check holds, and the table.

    Args:
        pairs: (training run, sham run) of each making; run folders as `find_shards` takes them.

    Raises DataError (a run that is not what its place says), ConfigError, MissingInputError, and what `train` and
    `predict` raise.
    """
    makings = open_makings(pairs)
    make_folder(out)
    log, locks = Work("leak check", "detector", len(makings) * options.seeds), Locks(out / LOCK)
    with RunLog(out, locks, 0, log.facts):
        judged = judge_all(makings, out, options, log)
    locks.remove()
    return judged


def judge_all(makings: Sequence[Making], out: Path, options: Options, log: Work) -> tuple[bool, str]:
    """As `leakcheck`; `log` is told of every detector that is done."""
    seen = look_at_all(makings, out, options, log)
    findings = [
        judge(one.switches, seen[one.folder], one.trained_on, options.resamples, options.bootstrap_seed)
        for one in makings
    ]
    holds, words = conclusion(findings)
    text = as_markdown(findings, notes(makings, options))
    write_bytes(out / MARKDOWN_NAME, text.encode())
    write_json(out / JSON_NAME, as_json(findings, makings, options, holds, words))
    return holds, text


def open_makings(pairs: Sequence[tuple[str, str]]) -> list[Making]:
    """Every pair checked against what its samples say of themselves. Raises DataError."""
    makings = [open_making(train, sham) for train, sham in pairs]
    for at, one in enumerate(makings):
        if one.switches in [other.switches for other in makings[:at]]:
            raise DataError(f"{one.train} is a second pair of the making '{NAMES[one.switches]}'; give each once")
    return makings


def open_making(train: str, sham: str) -> Making:
    """Read both runs' samples. Raises DataError where they are not a training run and shams of one making."""
    trained, shammed = facts_of(train), facts_of(sham)
    if True in trained.sham or not any(trained.injected):
        raise DataError(f"{train} is no training run: its samples are shams or hold nothing injected")
    if False in shammed.sham or any(shammed.injected):
        raise DataError(f"{sham} holds samples that are no shams; make it with configs/shards/leakcheck_sham.py")
    switches = {*trained.switches, *shammed.switches}
    if len(switches) > 1:
        raise DataError(f"{train} and {sham} were made with different corruption.paste_back or .raw_negatives")
    both = trained.sources & shammed.sources
    if both:
        raise DataError(f"{len(both)} pictures are in {train} and in {sham}; make shams of other pictures")
    return Making(train, sham, *next(iter(switches)), "/".join(sorted(shammed.policies)), len(trained.sham))


@dataclass(frozen=True)
class Facts:
    """What the samples of a run say of their making."""

    sham: list[bool]
    injected: list[bool]
    switches: set[tuple[bool, bool]]
    sources: set[str]
    policies: set[str]


def facts_of(where: str) -> Facts:
    """One pass over the JSON of all samples; no picture is decoded."""
    reader = ShardReader(where)
    metas = [reader.meta(i) for i in range(len(reader))]
    if not metas:
        raise DataError(f"{where} holds no samples; make some with `python -m corruptor shards`")
    options = [meta.corruption.options for meta in metas]
    if not all("paste_back" in one and "raw_negatives" in one for one in options):
        raise DataError(f"{where} holds samples that the line did not make: they do not say how")
    return Facts(
        sham=[bool(one.get("sham", False)) for one in options],
        injected=[meta.corruption.injected for meta in metas],
        switches={(bool(one["paste_back"]), bool(one["raw_negatives"])) for one in options},
        sources={meta.source.sha256 for meta in metas},
        policies={meta.region.policy for meta in metas} - {""},
    )


def look_at_all(makings: Sequence[Making], out: Path, options: Options, log: Work) -> dict[str, list[Seen]]:
    """What every detector saw, by folder of the making and then by seed; seeds outermost, with a bar."""
    tasks = [(making, seed) for seed in range(options.seeds) for making in makings]
    work = partial(look, out=out, options=options)
    if options.processes > 1:
        looked = in_processes(options.processes, work, tasks, "detector")
    else:
        looked = map(work, progress(tasks, "detector", resumes=GOES_ON))
    found = {}
    for name, seen in looked:
        found[name] = seen
        log.done += 1
    return {one.folder: [found[one.folder, seed] for seed in range(options.seeds)] for one in makings}


def look(task: tuple[Making, int], out: Path, options: Options) -> tuple[tuple[str, int], Seen]:
    """Train one detector, or resume, and count what it sees in the shams; ((folder of the making, seed), ..)."""
    from detector.config import load_config, set_seed
    from detector.inputs import ShardPictures
    from detector.predict import Options as Looking
    from detector.predict import predict
    from detector.train import WEIGHTS, Job, train

    making, seed = task
    config = load_config(options.config, options.overrides, options.iterations)
    set_seed(config, seed)
    folder = out / making.folder
    # No validation set chooses the weights: it would have to be of one making, and so favour one.
    trained = folder / f"seed{seed}"
    train(Job(config, Path(options.config).stem, trained, (making.train,)))
    seen = folder / f"seed{seed}-seen"
    lost = predict(trained / WEIGHTS, making.sham, seen, Looking(overlays=False)).rejects
    if lost:
        raise DataError(f"{lost[0].uri} cannot be looked at ({lost[0].reason}); make the shams again")
    reader = ShardReader(making.sham)
    heats = [read_heat(seen / "heat" / f"{key}.png") for key in ShardPictures(reader).keys]
    return (making.folder, seed), count(heats, [reader.mask(i) for i in range(len(reader))])


def read_heat(path: Path) -> U8:
    """uint8 HW."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def notes(makings: Sequence[Making], options: Options) -> list[str]:
    """What must be known beside the figures."""
    found = [
        f"pixel AUROC: 1/2 + (against own masks) - (against others' masks); no leak: at most {LIMIT:g} with an "
        f"interval of at most +-{HALF_WIDTH:g}; leaks: the whole interval above {LIMIT:g}. 95% intervals from "
        f"{options.resamples} bootstrap resamples of pictures."
    ]
    knowing = sorted({one.policy for one in makings} - {"blobs"})
    if knowing:
        found.append(
            f"The masks of the policy {', '.join(knowing)} may follow the picture, which looks like a leak and is "
            "none; make the runs with region.policy=blobs."
        )
    return found


def as_json(
    findings: Sequence[Finding], makings: Sequence[Making], options: Options, holds: bool, words: Sequence[str]
) -> dict[str, Any]:
    return {
        "schema": "blemish-leakcheck",
        "schema_version": 1,
        "holds": holds,
        "conclusion": list(words),
        "limit": LIMIT,
        "half_width": HALF_WIDTH,
        "config": options.config,
        "overrides": list(options.overrides),
        "iterations": options.iterations,
        "resamples": options.resamples,
        "makings": [
            {**finding.to_json(), "train": making.train, "sham": making.sham, "policy": making.policy}
            for finding, making in zip(findings, makings, strict=True)
        ],
    }
