"""What the closed-world benchmark makes and trains, and about how long that takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from shards.errors import ConfigError

LABELS, PSEUDO, OURS, RANDOM, ORACLE = (
    "100 labels",
    "pseudo labels",
    "pseudo labels + corruption",
    "random masks + corruption",
    "oracle labels",
)
ARMS = (LABELS, PSEUDO, OURS, RANDOM, ORACLE)
MADE = (PSEUDO, OURS, RANDOM)
"""Arms whose shards the line makes, from the same sources."""
TESTS = ("wild-test", "faults-test", "clean-test")
PAIRS = ((OURS, PSEUDO), (OURS, LABELS), (OURS, RANDOM), (PSEUDO, LABELS), (ORACLE, OURS))
"""Differences that are reported: first minus second."""
WILD = "wild-train"
"""Set of wild training pictures, a folder of the run."""
FIRST_SEED = 500_000
"""Of the source scenes; nothing else in this repository uses these."""
BLOBS = {"area": [0.01, 0.1], "max_blobs": 2}
LEAST_COMPONENT = 0.002
"""Share of the picture below which a component of the selector's region is left out: eight pixels of 64 x 64."""
CLEAN_SHARE = {PSEUDO: 0.2, OURS: 0.1, RANDOM: 0.1}
"""Verification drops more than half of the corrupted rows: the first two end with about a fifth of clean samples."""

# Seconds of one core of a server of 2021 (AMD EPYC 7003), both cores busy: the run of docs/evidence/results.md.
SECONDS = {"source": 0.87, "wild": 3.2, "look": 0.01, "start": 20.0}
SECONDS_AN_ITERATION = {"swin_mini": 0.25, "convnext_mini": 0.19}
OTHER_ITERATION = 0.25


@dataclass(frozen=True)
class Plan:
    """Everything that decides the table; stored beside it, and another one in the same folder is refused."""

    sources: int = 2000
    sources_from: str = "renders"
    """`renders`: scenes without a fault; `wild`: the generator's own pictures, those that the oracle's arm has labels
    of, as the paper's sources are pictures in the wild."""
    oracle: int = 2000
    """Wild training pictures with the oracle's labels."""
    iterations: int = 1500
    seeds: int = 3
    backbones: tuple[str, ...] = ("swin_mini", "convnext_mini")
    """Names below configs/detector. The first is the selector's."""
    config: str = "configs/shards/miniworld.py"
    overrides: tuple[str, ...] = ()
    """Of the line's config."""
    detector_overrides: tuple[str, ...] = ()
    sets: str = "miniworld/sets/v1"
    fallback: str = "hottest"
    """What the selector does where it finds nothing: `none`, or `hottest` (docs of the policy `learned`)."""
    test_limit: int = 0
    """Look at the first so many pictures of every set only; 0 for all."""

    def __post_init__(self) -> None:
        for name, least in (("sources", 16), ("oracle", 16), ("iterations", 1), ("seeds", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; the closed world needs {least} or more")
        if self.sources_from not in ("renders", "wild"):
            raise ConfigError(f"sources_from is {self.sources_from!r}; choose renders or wild")
        if self.sources_from == "wild" and self.sources > self.oracle:
            raise ConfigError(f"{self.sources} sources from {self.oracle} wild pictures; ask for as many or fewer")
        if not self.backbones or self.fallback not in ("none", "hottest"):
            raise ConfigError(f"needed: one backbone or more, fallback none or hottest; got {self}")

    def jobs(self, arms: tuple[str, ...] = ARMS) -> list[Job]:
        """All trainings of these arms; seeds outermost, so that a table of fewer seeds is ready early."""
        return [Job(arm, name, seed) for seed in range(self.seeds) for arm in arms for name in self.backbones]


@dataclass(frozen=True)
class Chosen:
    """The selector, as it came out of its training and of the validation set."""

    weights: str
    tau: float
    area: float
    """Mean share of a picture that the labels it learned from cover, 0..1."""


@dataclass(frozen=True)
class Job:
    """One training."""

    arm: str
    backbone: str
    seed: int

    @property
    def name(self) -> str:
        return f"{slug(self.arm)}-{self.backbone}-{self.seed}"


def slug(arm: str) -> str:
    """An arm as a folder name."""
    return arm.replace(" + ", "-").replace(" ", "-")


def scaled(plan: Plan, scale: float) -> Plan:
    """A trial: everything smaller by a factor, with fewer seeds. Raises ConfigError outside 0..1."""
    if not 0 < scale <= 1:
        raise ConfigError(f"--scale is {scale}; give a share above 0 and up to 1")
    if scale == 1:
        return plan
    return replace(
        plan,
        sources=max(16, round(plan.sources * scale)),
        oracle=max(16, round(plan.oracle * scale)),
        iterations=max(20, round(plan.iterations * scale)),
        seeds=max(1, round(plan.seeds * scale)),
        test_limit=max(16, round(1000 * scale)),
    )


def estimate(plan: Plan, processes: int) -> dict[str, float]:
    """Minutes of each stage, if nothing else runs on as many cores as there are processes."""
    looked = 4 * (plan.test_limit or 500) * SECONDS["look"]
    trainings = {
        name: plan.seeds * (plan.iterations * SECONDS_AN_ITERATION.get(name, OTHER_ITERATION) + looked)
        for name in plan.backbones
    }
    one_arm = sum(trainings.values())
    seconds = {
        "trainings on 100 labels": one_arm,
        "wild pictures with the oracle's labels": plan.oracle * SECONDS["wild"],
        "shards of three arms": plan.sources * SECONDS["source"],
        "trainings of the other arms": (len(ARMS) - 1) * one_arm,
    }
    return {name: (SECONDS["start"] + value / processes) / 60 for name, value in seconds.items()}


def estimate_words(minutes: dict[str, float]) -> str:
    """A line a stage, and the sum."""
    lines = [f"  {name}: {value:.0f} min" for name, value in minutes.items()]
    return "\n".join([*lines, f"about {sum(minutes.values()):.0f} minutes in all on idle cores"])


def line_changes(arm: str, chosen: Chosen, fallback: str) -> dict[str, Any]:
    """How an arm's run of the line differs from the config: groups of plain values, merged one level deep."""
    if arm == RANDOM:
        region: dict[str, Any] = {"policy": "blobs", "options": BLOBS}
    else:
        options = {
            "weights": chosen.weights,
            "tau": chosen.tau,
            "fallback": fallback,
            "fallback_area": chosen.area,
            "limits": {"min_component_area": LEAST_COMPONENT},
        }
        region = {"policy": "learned", "options": options}
    return {"region": region, "samples": {"clean_share": CLEAN_SHARE[arm]}, "title": f"Blemish closed world: {arm}"}
