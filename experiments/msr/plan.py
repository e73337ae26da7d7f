"""What the tables of mask-based semantic rejection are made of: arms, sets, and what is varied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detector.score.pal_table import COLUMNS
from shards.build import plain
from shards.errors import ConfigError

TABLES = ("arms", "differences", "real", "scores", "margins", "thresholds", "cost", "ratio", "outlines")
"""T1 and T2, paired differences of their arms, T3, T4, T5, T6, T7, and figure 5; and where false alarms lie, which only
the embedded world can say."""
MOST = 1000
TASK = "{task}"


@dataclass(frozen=True)
class Arm:
    """A detector: a segmenter as it is where `shards` is empty, else one that is trained."""

    name: str
    shards: tuple[str, ...] = ()
    """Labelled shards of any origin; several are read one after the other."""
    limit: int = 0
    """Use the first `limit` samples; 0 for all."""
    config: str = ""
    """A detector's config; "" for the adaptation of the tables."""
    iterations: int = 0
    """0: the config's."""
    overrides: tuple[str, ...] = ()
    """"a.b=v" of the config."""
    validation: str = ""
    """Shards by which weights are chosen; "" for those of the tables."""
    boundary: int = 0
    """Of a segmenter as it is: see detector.heat.Rejecting. A trained arm's is in its config."""

    @property
    def is_specialist(self) -> bool:
        """One training a task: {task} in `shards` and `validation` stands for each."""
        return any(TASK in one for one in self.shards)

    def of_task(self, task: str) -> Arm:
        """The arm of one task of PAL."""
        shards = tuple(one.replace(TASK, task) for one in self.shards)
        return replace(self, shards=shards, validation=self.validation.replace(TASK, task))


@dataclass(frozen=True)
class LabelledSet:
    """Labelled shards to be scored on."""

    name: str
    shards: str
    by: str = ""
    """What its pictures are told apart by: "" nothing, `task` PAL's synthesis task, `kind` the things in a scene,
    `folder` the folder that a picture lies in, `coco_stuff` the category of its label map."""
    count: int = 0
    """Its pictures, for a dry run where the set is not on this machine."""
    maps: str = ""
    """COCO-Stuff: the folder of label maps, MAPS/NAME.png."""

    def __post_init__(self) -> None:
        if self.by not in ("", "task", "kind", "folder", "coco_stuff"):
            raise ConfigError(
                f'by is {self.by[:40]!r} for {self.name}; allowed are "", task, kind, folder and coco_stuff'
            )
        if (self.by == "coco_stuff") != bool(self.maps):
            raise ConfigError(f"{self.name} needs both by='coco_stuff' and maps, or neither")


@dataclass(frozen=True)
class MsrConfig:
    """The tables' config."""

    segmenter: str
    """Of valid content: a folder of transformers, a hub id, or a file of ours."""
    arms: tuple[Arm, ...]
    """Rows of the first table."""
    tests: tuple[LabelledSet, ...]
    """Sets with artifacts; columns of the first table."""
    real: tuple[LabelledSet, ...]
    """Sets without any: what is found there is false. Shards, or folders of pictures."""
    main: str
    """The arm on which the other tables rest."""
    adaptation: str = "configs/detector/msr_mini.py"
    """Config of arms that name none."""
    per_pixel: str = ""
    """A network that classifies each pixel, for the upper half of table 4; "" for none."""
    validation: str = ""
    """Shards by which weights are chosen; "" takes the last ones."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of arms whose paired differences are shown, the first less the second."""
    seeds: tuple[int, ...] = (0, 1, 2)
    margins: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    ratios: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    threshold: float = 0.5
    """tau of all tables but that of thresholds."""
    revision: str = "main"
    limit: int = 0
    """Score on the first pictures of each set only; 0 for all."""
    resamples: int = 1000
    title: str = ""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ConfigError(f"two arms have one name: {', '.join(names)}")
        if self.main not in names or not next(arm for arm in self.arms if arm.name == self.main).shards:
            raise ConfigError(f"main is {self.main!r}; it must name an arm that is trained: {', '.join(names)}")
        if any(arm.boundary and arm.shards for arm in self.arms):
            raise ConfigError("boundary is of a segmenter as it is; a trained arm has model.boundary in its config")
        unknown = [name for pair in self.compare for name in pair if name not in names]
        if unknown:
            raise ConfigError(f"compare names {unknown[0]!r}, which is no arm: {', '.join(names)}")
        for name, values in (("margins", self.margins), ("thresholds", (*self.thresholds, self.threshold))):
            if any(not 0 < value <= 1 for value in values):
                raise ConfigError(f"{name} must lie above 0 and at most at 1, got {list(values)}")
        if any(not 0 < value <= 1 for value in self.ratios) or not 0 <= self.resamples <= 10**5:
            raise ConfigError("ratios must lie above 0 and at most at 1, and resamples in 0..100000")
        if not self.seeds or len(self.seeds) > MOST or any(not 0 <= seed < 2**32 for seed in self.seeds):
            raise ConfigError(f"seeds must be 1..{MOST} whole numbers in 0..2**32 - 1, got {list(self.seeds)}")

    @property
    def main_arm(self) -> Arm:
        return next(arm for arm in self.arms if arm.name == self.main)

    def margin_arms(self) -> dict[float, Arm]:
        """The main arm at each margin (table 5)."""
        made = {}
        for margin in self.margins:
            told = (*self.main_arm.overrides, f"model.rejection_loss.margin={margin}")
            made[margin] = replace(self.main_arm, name=f"{self.main}, margin {margin:g}", overrides=told)
        return made

    def ratio_arms(self, count: int) -> dict[float, Arm]:
        """The main arm with each share of its `count` samples (figure 5)."""
        limits = {ratio: max(2, round(ratio * count)) for ratio in self.ratios}
        return {
            ratio: replace(self.main_arm, name=f"{self.main}, {ratio:g} of it", limit=limit)
            for ratio, limit in limits.items()
        }


def placed(config: MsrConfig, places: dict[str, str]) -> MsrConfig:
    """The config with {name} in its sets replaced by where they lie. Raises ConfigError for one that nobody named."""

    def put(text: str) -> str:
        for name, where in places.items():
            text = text.replace("{" + name + "}", where)
        if "{" in text.replace(TASK, ""):
            raise ConfigError(f"{text} names a place that is not given; give it with --place NAME=DIR")
        return text

    arms = tuple(
        replace(arm, shards=tuple(put(one) for one in arm.shards), validation=put(arm.validation))
        for arm in config.arms
    )
    tests, real = (
        tuple(replace(one, shards=put(one.shards), maps=put(one.maps)) for one in sets)
        for sets in (config.tests, config.real)
    )
    return replace(config, arms=arms, tests=tests, real=real, validation=put(config.validation))


def missing(config: MsrConfig) -> list[str]:
    """Sets that are not on this machine."""
    sets = [place for one in (*config.tests, *config.real) for place in (one.shards, one.maps) if place]
    sets += [one for arm in config.arms for each in trained_as(arm) for one in each.shards]
    return sorted({one for one in sets if not Path(one).exists()})


def trained_as(arm: Arm) -> list[Arm]:
    """The arm itself, or one for each of PAL's tasks."""
    return [arm.of_task(task) for task, _ in COLUMNS] if arm.is_specialist else [arm]


def facts(arm: Arm, seed: int) -> dict[str, Any]:
    """What makes a training this one."""
    told = {**plain(arm), "seed": seed}
    del told["boundary"]  # of arms that are not trained
    return told
