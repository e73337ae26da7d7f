"""Stages: pieces of work whose product lies in OUT/stages/NAME and is named by the hash of all that decides it.

Equal stages of several arms are one. A stage is done when its `done.json` is there, which is written last; it is never
made again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ablation.grid import MadeSet
from shards.config import config_hash

DONE = "done.json"
DECODED = "decoded"
"""Folder of decoded pictures that all trainings share, beside that of the stages; deleted at the end."""
Kind = Literal["made", "shards", "derived", "train"]


@dataclass(frozen=True)
class Data:
    """Labelled shards that something is learned from: there already, or the product of a stage."""

    path: str
    """Folder; of a stage's product below OUT/stages."""
    identity: str
    """Digest of what is there, or the stage's name."""
    stage: str = ""
    """Name of the stage that makes it."""

    def folder(self, stages: Path) -> Path:
        return stages / self.path if self.stage else Path(self.path)


@dataclass(frozen=True)
class Selected:
    """A trained detector as the selector of regions."""

    stage: str
    """The training."""
    data: Data
    """What it learned from: its mean labelled area is the one of the fallback."""
    samples: int = 0
    """How many of it; 0 for all."""


@dataclass(frozen=True)
class MadeWork:
    """Sample a set and label it by the oracle."""

    made: MadeSet
    """With steps and guidance resolved."""


@dataclass(frozen=True)
class LineWork:
    """A run of the line."""

    values: dict[str, Any]
    """Its config as plain values; what the selector decides is still open (`SELECTED`)."""
    sources: Data | None = None
    """Shards whose pictures are the sources; else those of the config."""
    selected: Selected | None = None


@dataclass(frozen=True)
class DerivedWork:
    """Samples of other shards with other labels, or with negatives beside them (ablation/derive.py)."""

    data: Data
    relabel: str = ""
    twins: bool = False
    ignore_dropped: bool = False
    shams: Data | None = None
    """The same rows with nothing injected."""
    kept: Data | None = None
    """The same rows with nothing dropped: those that `data` lacks come in, as clean samples."""

    def more(self) -> dict[str, Any]:
        """What is asked for beyond labels and twins, by name: the part of its identity that came later."""
        told: dict[str, Any] = {"ignore_dropped": self.ignore_dropped}
        told |= {name: data.identity for name, data in (("shams", self.shams), ("kept", self.kept)) if data is not None}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class TrainWork:
    """One detector: trained, its threshold chosen."""

    backbone: str
    overrides: tuple[str, ...]
    iterations: int
    """0: as the config says."""
    seed: int
    data: Data
    samples: int
    validation: str
    """Folder."""
    limit: int


Work = MadeWork | LineWork | DerivedWork | TrainWork


@dataclass(frozen=True)
class Stage:
    """A piece of work with a name of its own."""

    name: str
    kind: Kind
    title: str
    """For people: the first arm that needs it."""
    work: Work
    needs: tuple[str, ...] = ()
    """Stages that come before."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What was hashed, for whoever wants to know why two stages differ."""


def make_stage(kind: Kind, title: str, work: Work, needs: tuple[str, ...], facts: dict[str, Any]) -> Stage:
    """A stage named by its kind and the hash of `facts`."""
    return Stage(f"{kind}-{config_hash(facts)}", kind, title, work, needs, facts)


def is_done(stages: Path, name: str) -> bool:
    return (stages / name / DONE).is_file()


def read_done(stages: Path, name: str) -> dict[str, Any]:
    """What a finished stage says of itself."""
    told: dict[str, Any] = json.loads((stages / name / DONE).read_bytes())
    return told
