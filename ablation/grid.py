"""What a grid is: arms, each a few changes to one config, that are trained and tested alike.

A grid is an mmengine Python config (configs/ablation). It is turned into the frozen dataclasses below, field by field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from detector.score.metrics import METRICS
from shards.build import nearest
from shards.config import apply_overrides, make_config, read_config

MATCHED = "image_auroc_matched"
"""Image AUROC among pictures of the same content, for sets of the embedded world (ablation/content.py)."""


@dataclass(frozen=True)
class MadeSet:
    """Pictures sampled from the embedded generator and labelled by its oracle (miniworld/sets.py)."""

    count: int
    """How many pictures."""
    set: str = "wild-train"
    """Whose seeds and captions: a name of miniworld.sets.SETS."""
    steps: int = 0
    """Sampling steps; 0: as many as the validation set was sampled with."""
    guidance: float = 0.0
    """Classifier-free guidance; 0: that of the validation set."""
    weights: str = "miniworld/weights"
    """The generator."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.steps < 0 or self.guidance < 0:
            raise ValueError(f"needed: count of 1 or more, steps and guidance of 0 or more; got {self}")


@dataclass(frozen=True)
class Arm:
    """One way to get training samples and to train on them.

    The samples are those of `shards`, or else those of a run of the line: `config` (else the grid's `line`), the
    grid's `set`, `sources`, `selector`, then `set`, each over what stands before it.
    """

    name: str
    """How tables call it."""
    set: tuple[str, ...] = ()
    """Changes to the line's config, "a.b=v"."""
    config: str = ""
    """Another config of the line."""
    shards: str = ""
    """What is there already: a name of the grid's `sets` or `made`, or a folder of shards."""
    sources: str = ""
    """Pictures of this set (name or folder) as the line's sources, without their labels."""
    selector: str = ""
    """Where regions come from: an arm, whose first detector (first backbone, first seed) proposes them at its threshold
    on the validation set; or labelled pictures (name or folder) to train such a detector on. "": as the config says."""
    detector: tuple[str, ...] = ()
    """Changes to the detector's config, "a.b=v", over the grid's."""
    iterations: int = 0
    """Another number of iterations."""
    samples: int = 0
    """Train on the first so many samples; 0 for all."""
    relabel: Literal["", "oracle"] = ""
    """oracle: masks by the embedded world's oracle in place of the samples' own."""
    twins: bool = False
    """Add the clean twin of every sample with artifacts, as a clean sample right after it."""
    shams: bool = False
    """Add to every sample with artifacts the same row with nothing injected, as a clean sample right after it."""
    dropped: Literal["", "clean", "ignore"] = ""
    """What verification dropped. "": no artifact where other regions of the picture are left, and no sample where none
    is. clean: a clean sample where none is left, too. ignore: out of training (255) where others are left."""
    value: float | None = None
    """Place on the plots' axis; without one the arm is a level across the plot."""
    series: str = ""
    """Arms of one series are joined by a line."""

    def __post_init__(self) -> None:
        of_the_line = ("set", "config", "sources", "selector", "shams", "dropped")
        changed = [name for name in of_the_line if getattr(self, name)]
        if self.shards and changed:
            raise ValueError(f"arm {self.name!r} has shards, so that nothing is made: leave out {', '.join(changed)}")
        if not self.name.strip() or min(self.iterations, self.samples) < 0:
            raise ValueError(f"needed: a name, iterations and samples of 0 or more; got {self}")


@dataclass(frozen=True)
class Grid:
    """Everything that decides the results."""

    title: str
    line: str
    """Config of the line (configs/shards) that the arms change."""
    backbones: tuple[str, ...]
    """Names of configs/detector. The first is that of selectors."""
    validation: str
    """Labelled shards that choose weights and threshold of every detector."""
    tests: dict[str, str]
    """Labelled shards by the name that tables give them."""
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0,)
    """Of the trainings."""
    iterations: int = 0
    """Of a training; 0: as the detector's config says."""
    set: tuple[str, ...] = ()
    """Changes to the line's config in all arms, "a.b=v"."""
    detector: tuple[str, ...] = ()
    """Changes to the detector's config in all arms."""
    sets: dict[str, str] = field(default_factory=dict)
    """Names for folders of shards."""
    made: dict[str, MadeSet] = field(default_factory=dict)
    """Sets that are made first, by name."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of arms whose difference is reported, first minus second."""
    gaps: tuple[tuple[str, str, str], ...] = ()
    """Arm, floor, ceiling: how much of the distance from floor to ceiling the arm recovers."""
    metrics: tuple[str, ...] = ("artifact_iou", "pixel_ap", "image_auroc_max", MATCHED, "image_tpr_at_5_fpr")
    """Columns of the tables, where they are defined; the rows have all metrics."""
    axis: str = "arm"
    """What the arms' `value` is, for the plots."""
    log_axis: bool = False
    limit: int = 0
    """Look at the first so many pictures of every set only; 0 for all."""
    resamples: int = 1000
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        if not self.arms:
            raise ValueError("arms is empty; a grid needs one arm or more")
        for name, values in (("backbones", self.backbones), ("seeds", self.seeds), ("tests", tuple(self.tests))):
            if not values:
                raise ValueError(f"{name} is empty; needed: one or more")
            unique(name, values)
        unique("names of arms", [arm.name for arm in self.arms])
        if min(self.iterations, self.limit, self.resamples, *self.seeds) < 0:
            raise ValueError("iterations, limit, resamples and seeds must be 0 or more")
        known = {arm.name for arm in self.arms}
        for what, groups in (("compare", self.compare), ("gaps", self.gaps)):
            for name in (name for group in groups for name in group):
                if name not in known:
                    raise ValueError(f"{what} names the arm {name!r}, which is not there{nearest(name, known)}")
        metrics = {metric.key for metric in METRICS} | {MATCHED}
        for name in self.metrics:
            if name not in metrics:
                raise ValueError(f"metrics names {name!r}, which is not there{nearest(name, metrics)}")
        if both := sorted(set_names(self.sets) & set_names(self.made)):
            raise ValueError(f"{both[0]!r} is in sets and in made; choose another name for one")

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)


def set_names(sets: Iterable[str]) -> frozenset[str]:
    return frozenset(sets)


def unique(what: str, values: Sequence[object]) -> None:
    """Raise ValueError where a value stands twice."""
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands twice in {what}; name each once")


def load_grid(path: str | Path, overrides: Iterable[str] = ()) -> Grid:
    """Read a grid, apply "a.b=v" to its own values and check it.

    Raises:
        MissingInputError: no such file.
        ConfigError: the file fails, an unknown key (naming the nearest), a wrong type, or a failed check.
    """
    return make_config(apply_overrides(read_config(path), overrides), Grid, str(path))
