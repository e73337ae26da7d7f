"""Arms of `experiments.damage`: the same scenes, damaged and labelled as each arm's config says, then judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from corruptor.corrupt import corrupt
from corruptor.finish import CorruptedBatch
from corruptor.line.batch import Loaded
from corruptor.line.batch import Row as LineRow
from corruptor.line.config import LineConfig
from corruptor.line.opinion import open_judges
from corruptor.line.plan import noise_seed
from corruptor.line.run import open_model
from corruptor.line.worker import prompt_without
from experiments.purity.count import Mask, faults_in, judge
from experiments.purity.make import Sources, load_sources
from miniworld.world.splits import Split

BATCH = 16


@dataclass(frozen=True)
class Part:
    """A component of the mask that was asked for."""

    kept: bool
    """Verification left something of it in the label."""
    fault: bool
    """A fault lies in it, see `experiments.purity.count.faults_in`."""
    change: float
    """Mean change inside, 0..255."""
    distance: float | None
    """Perceptual distance to the twin, where the arm has a band."""
    step: int
    """Start step at which it was injected."""


@dataclass(frozen=True)
class Row:
    """One source under an arm."""

    image: int
    nfe: int
    """Noise predictions, the inversion's included."""
    num_tries: int
    parts: tuple[Part, ...]
    label: tuple[int, int, int]
    """Pixels labelled and faulty, labelled and whole, faulty and not labelled."""
    kind: str = ""
    """Of the damage, where the arm has kinds."""

    @property
    def is_sample(self) -> bool:
        return sum(self.label[:2]) > 0

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Row:
        """The inverse of `to_dict`."""
        return cls(**{**told, "parts": tuple(Part(**one) for one in told["parts"]), "label": tuple(told["label"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Made:
    """A batch of an arm's pictures, some to look at."""

    sources: Sources
    done: CorruptedBatch
    faults: tuple[Mask, ...]
    rows: tuple[Row, ...]
    scenes: int
    """So many were looked at, those without a region among them."""


def work(config: LineConfig, split: Split, first: int, numbers: range, pool: Any) -> Iterator[Made]:
    """Damage scenes first + numbers of a split, batch after batch, and let the oracle judge them.

    `pool` has a `map`. Raises UserErrors as the line does.
    """
    backbone = open_model(config.model, config.compute.device)
    judges = open_judges(config.corruption.verification, config.compute.device)
    for start in range(numbers.start, numbers.stop, BATCH):
        batch = range(start, min(start + BATCH, numbers.stop))
        sources = load_sources(config, split, first, batch)
        if not sources.items:
            continue
        done = corrupt(
            backbone,
            torch.from_numpy(np.stack([item.image for item in sources.items])),
            torch.from_numpy(sources.masks_NHW),
            [config.samples.prompt_of(item.caption) for item in sources.items],
            [noise_seed(config.seed, item, 0) for item in sources.items],
            config.corruption,
            judges=judges,
            prompts_without=[prompt_without(config.samples, row) for row in line_rows(sources)],
        )
        pictures = done.images_NHWC.numpy()
        faults = pool.map(judge, list(zip(pictures, sources.scenes, strict=True)))
        rows = [row_of(number, done, place, faults[place]) for place, number in enumerate(sources.numbers)]
        yield Made(sources, done, tuple(faults), tuple(rows), len(batch))


def line_rows(sources: Sources) -> list[LineRow]:
    """The sources as the line has them."""
    found = zip(sources.numbers, sources.items, sources.masks_NHW, strict=True)
    return [LineRow(Loaded(number, item, *item.image.shape[:2]), 0, mask) for number, item, mask in found]


def row_of(number: int, done: CorruptedBatch, place: int, fault: Mask) -> Row:
    """The counts of one row of a batch."""
    label, requested = done.masks_NHW[place].numpy() == 1, done.requested_masks_NHW[place].numpy()
    broken = fault > 0
    numbers, climbed = done.verifications[place], done.climbed[place] if done.climbed else None
    found = zip(numbers.components, faults_in(requested, fault), strict=True)
    parts = [
        Part(
            one.num_pixels_kept > 0,
            hit,
            one.change_inside,
            one.distance,
            climbed.steps[at] if climbed else done.start_steps[place],
        )
        for at, (one, (_, _, hit)) in enumerate(found)
    ]
    counts = (label & broken, label & ~broken, ~label & broken)
    nfe, tries = done.nfe_of(place), climbed.num_tries if climbed else 1
    hits, extra, missed = (int(one.sum()) for one in counts)
    return Row(number, nfe, tries, tuple(parts), (hits, extra, missed), done.kinds[place] if done.kinds else "")
