"""From a grid to its stages: every config loaded and checked, every input looked for, nothing made yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ablation.digests import find_shards, named_files
from ablation.grid import Arm, Grid, MadeSet
from ablation.stages import Data, DerivedWork, LineWork, MadeWork, Selected, Stage, TrainWork, make_stage
from corruptor.line.config import CHANGEABLE, LineConfig
from miniworld.oracle.thresholds import Thresholds
from shards.build import nearest, plain
from shards.config import apply_overrides, find_config, make_config, read_config
from shards.errors import ConfigError, MissingInputError, UserError
from shards.extensions import code_digest
from shards.writer import read_manifest

SELECTED = "the selector's"
"""Stands in a config for what a selector's training will decide: its weights, threshold, area."""


@dataclass(frozen=True)
class Test:
    """A labelled set that detectors are tested on."""

    name: str
    folder: str
    digest: str


@dataclass(frozen=True)
class Job:
    """One training as a cell of the table."""

    arm: str
    backbone: str
    seed: int
    stage: str


@dataclass(frozen=True)
class Plan:
    """All of it."""

    grid: Grid
    stages: dict[str, Stage]
    """By name; what a stage needs stands before it."""
    jobs: tuple[Job, ...]
    """Seeds outermost, so that a table of fewer seeds is ready early."""
    data: dict[str, Data]
    """What each arm learns from."""
    tests: tuple[Test, ...]
    missing: tuple[str, ...] = ()
    """Of a lenient plan: what is not there."""

    def made_by_line(self, arm: str) -> Stage | None:
        """The run of the line that an arm's samples come from, None where they come from elsewhere."""
        stage = self.stages.get(self.data[arm].stage)
        while stage is not None and isinstance(stage.work, DerivedWork):
            stage = self.stages.get(stage.work.data.stage)
        return stage if stage is not None and stage.kind == "shards" else None


def make_plan(grid: Grid, lenient: bool = False) -> Plan:
    """Raises ConfigError (a config or change that does not work, two arms that are the same) and MissingInputError.

    `lenient`: sets that are not there are put down in the plan's `missing`; such a plan can be priced, not run.
    """
    return Planner(grid, lenient).plan()


@dataclass
class Planner:
    """Collects stages while it goes through the arms."""

    grid: Grid
    lenient: bool = False
    stages: dict[str, Stage] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    validation: Path = Path()
    validation_digest: str = ""
    _under_way: list[str] = field(default_factory=list)
    _known: dict[Arm, Data] = field(default_factory=dict)

    def plan(self) -> Plan:
        grid = self.grid
        self.validation, self.validation_digest = self.find(grid.validation, "validation")
        found = {name: self.find(where, f"test set {name!r}") for name, where in grid.tests.items()}
        tests = tuple(Test(name, str(folder), digest) for name, (folder, digest) in found.items())
        data = {arm.name: self.data_of(arm) for arm in grid.arms}
        jobs = tuple(
            Job(arm.name, backbone, seed, self.train(arm, backbone, seed).name)
            for seed in grid.seeds
            for arm in grid.arms
            for backbone in grid.backbones
        )
        check_apart(jobs)
        return Plan(grid, self.stages, jobs, data, tests, tuple(dict.fromkeys(self.missing)))

    def find(self, where: str, what: str) -> tuple[Path, str]:
        """Folder and digest of labelled shards. Raises MissingInputError unless the plan is lenient."""
        try:
            return find_shards(where, what)
        except MissingInputError as error:
            if not self.lenient:
                raise
            self.missing.append(str(error))
            return Path(where), f"{where} is missing"

    def add(self, stage: Stage) -> Stage:
        return self.stages.setdefault(stage.name, stage)

    def data_of(self, arm: Arm) -> Data:
        """What an arm learns from, with the stages that make it."""
        if arm in self._known:
            return self._known[arm]
        if arm.name in self._under_way:
            raise ConfigError(f"arm {arm.name!r} takes its regions from itself ({' < '.join(self._under_way)})")
        self._under_way.append(arm.name)
        data = self.named(arm.shards, f"arm {arm.name!r}") if arm.shards else self.line(arm)
        if arm.relabel or arm.twins or arm.shams or arm.dropped:
            data = self.derived(arm, data)
        self._under_way.pop()
        self._known[arm] = data
        return data

    def derived(self, arm: Arm, data: Data) -> Data:
        """The samples of an arm once more, with other labels or with negatives."""
        nothing_dropped = "corruption.verification.policy='keep'"
        beside = {
            "shams": ("corruption.sham=True", nothing_dropped, "corruption.ladder=None") if arm.shams else (),
            "kept": (nothing_dropped,) if arm.dropped == "clean" else (),
        }
        runs = {
            name: self.line(replace(arm, name=f"{arm.name}, {name}", set=(*arm.set, *changes)))
            for name, changes in beside.items()
            if changes
        }
        work = DerivedWork(data, arm.relabel, arm.twins, arm.dropped == "ignore", **runs)
        limits = plain(Thresholds()) if arm.relabel else {}
        facts = {"of": data.identity, "relabel": arm.relabel, "twins": arm.twins, "thresholds": limits, **work.more()}
        before = (*needs(data), *(need for run in runs.values() for need in needs(run)))
        stage = self.add(make_stage("derived", arm.name, work, before, facts))
        return Data(f"{stage.name}/run", stage.name, stage.name)

    def named(self, name: str, what: str) -> Data:
        """A set by the name that the grid gives it, or by its folder. Raises MissingInputError."""
        if name in self.grid.made:
            return self.made(name, self.grid.made[name])
        where = self.grid.sets.get(name, name)
        if where == name and "/" not in name and not Path(name).is_dir():
            known = nearest(name, [*self.grid.sets, *self.grid.made])
            raise MissingInputError(f"{what}: {name!r} is neither a set of this grid nor a folder{known}")
        folder, digest = self.find(where, what)
        return Data(str(folder), digest)

    def made(self, name: str, made: MadeSet) -> Data:
        from miniworld.sets import SETS
        from miniworld.world.splits import SPLITS

        if made.set not in SETS or SETS[made.set].make != "wild":
            wild = [known for known, spec in SETS.items() if spec.make == "wild"]
            raise ConfigError(f"made set {name!r}: set is {made.set!r}{nearest(made.set, wild)}")
        most = SPLITS[made.set].count
        if made.count > most:
            raise ConfigError(f"made set {name!r}: {made.count} pictures of {made.set!r}, which has seeds for {most}")
        if not made.steps or not made.guidance:
            told = sampling_of(self.validation, name)
            made = replace(
                made, steps=made.steps or int(told["steps"]), guidance=made.guidance or float(told["guidance"])
            )
        facts = {**plain(made), "files": named_files({"weights": made.weights})}
        stage = self.add(make_stage("made", name, MadeWork(made), (), facts))
        return Data(f"{stage.name}/{made.set}", stage.name, stage.name)

    def line(self, arm: Arm) -> Data:
        """A run of the line for an arm."""
        values = apply_overrides(read_config(arm.config or self.grid.line), self.grid.set)
        sources = self.named(arm.sources, f"sources of arm {arm.name!r}") if arm.sources else None
        if sources is not None:
            values["source"] = {"name": "shards", "options": {"where": SELECTED}}
        selected = self.selected(arm) if arm.selector else None
        if selected is not None:
            kept = values.get("region", {})
            options = kept.get("options", {}) if kept.get("policy") == "learned" else {}
            open_ones = dict.fromkeys(("weights", "tau", "fallback_area"), SELECTED)
            values["region"] = {"policy": "learned", "options": {**options, **open_ones}}
        values = apply_overrides(values, arm.set)
        config = make_config(values, LineConfig, f"arm {arm.name!r}")
        check_options(arm, config)
        checked: dict[str, Any] = plain(config)
        # A detector of one thread and a line of one thread stand side by side; the number is part of the run's bytes.
        checked["compute"]["num_threads"] = checked["compute"]["num_threads"] or 1
        decided = {key: value for key, value in checked.items() if key not in CHANGEABLE}
        facts = {
            "config": decided,
            "files": named_files(decided),
            "code": [code_digest(config.source.name), code_digest(config.region.policy)],
            "sources": sources.identity if sources else "",
            "selector": [selected.stage, selected.samples] if selected else [],
        }
        before = (*needs(sources), *((selected.stage, *needs(selected.data)) if selected else ()))
        stage = self.add(make_stage("shards", arm.name, LineWork(checked, sources, selected), before, facts))
        return Data(f"{stage.name}/run", stage.name, stage.name)

    def selected(self, arm: Arm) -> Selected:
        """The detector that proposes an arm's regions."""
        backbone, seed = self.grid.backbones[0], self.grid.seeds[0]
        if arm.selector in {other.name for other in self.grid.arms}:
            chosen = self.grid.arm(arm.selector)
        else:
            chosen = Arm(name=arm.selector, shards=arm.selector)
        stage = self.train(chosen, backbone, seed)
        assert isinstance(stage.work, TrainWork)
        return Selected(stage.name, stage.work.data, stage.work.samples)

    def train(self, arm: Arm, backbone: str, seed: int) -> Stage:
        """A training; its stage knows nothing of test sets, which may be more another time."""
        data = self.data_of(arm)
        overrides = (*self.grid.detector, *arm.detector)
        iterations = arm.iterations or self.grid.iterations
        decided = detector_facts(backbone, overrides, iterations)
        work = TrainWork(
            backbone, overrides, iterations, seed, data, arm.samples, str(self.validation), self.grid.limit
        )
        facts = {
            **decided,
            "seed": seed,
            "data": data.identity,
            "samples": arm.samples,
            "validation": self.validation_digest,
            "limit": self.grid.limit,
        }
        return self.add(make_stage("train", f"{arm.name}, {backbone}, seed {seed}", work, needs(data), facts))


def needs(data: Data | None) -> tuple[str, ...]:
    return (data.stage,) if data is not None and data.stage else ()


@cache
def detector_facts(backbone: str, overrides: tuple[str, ...], iterations: int) -> dict[str, Any]:
    """The config of a detector as plain values, and the files it starts from. Raises ConfigError, MissingInputError."""
    from detector.config import decisive_config, load_config

    path = f"configs/detector/{backbone}.py"
    config = decisive_config(load_config(find_config(path), overrides, iterations or None))
    return {"backbone": backbone, "config": config, "files": named_files({"initialise": config.get("initialise")})}


def check_options(arm: Arm, config: LineConfig) -> None:
    """That source and region policy would take their options. Raises ConfigError."""
    from corruptor.line.inspect_source import check_options as check_source
    from region_select.policy import check_policy

    options = {key: value for key, value in config.region.options.items() if value != SELECTED}
    try:
        check_policy(config.region.policy, options)
        check_source(config.source.name, config.source.options)
    except UserError as error:
        raise ConfigError(f"arm {arm.name!r}: {error}") from error


def sampling_of(validation: Path, name: str) -> Mapping[str, Any]:
    """Steps and guidance of a set of the embedded world. Raises ConfigError where it was not sampled."""
    manifest = validation / "manifest.json"
    told: Mapping[str, Any] = read_manifest(manifest).get("config", {}) if manifest.is_file() else {}
    if not {"steps", "guidance"} <= told.keys():
        raise ConfigError(f"made set {name!r}: {validation} does not say how it was sampled; give steps and guidance")
    return told


def check_apart(jobs: tuple[Job, ...]) -> None:
    """Raise ConfigError where two arms are the same config."""
    seen: dict[tuple[str, int, str], str] = {}
    for job in jobs:
        other = seen.setdefault((job.backbone, job.seed, job.stage), job.arm)
        if other != job.arm:
            raise ConfigError(f"arms {other!r} and {job.arm!r} are the same config; change one or leave it out")
