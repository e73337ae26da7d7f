"""Several lines over the same sources: the real line, but what they have in common is computed once.

A source is read once and inverted once for all of them, as far as the earliest start step (a later one is on the way
there), and a row is resampled once for all lines in which mask, noise and
corruption are the same but for the switches that bring source pixels back and the rule of verification. Sources are
worked through shard by shard, line by line; what was kept is dropped after the last line of a shard. Processes share
the shards out among themselves. A pixel may differ by one unit of rounding from what a line gives alone, since batches
are made up otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from corruptor.backbone import Backbone
from corruptor.config import CorruptionConfig, InjectionConfig, VerificationConfig
from corruptor.corrupt import corrupt_inverted, invert_images
from corruptor.finish import CorruptedBatch, finish_rows
from corruptor.line.batch import Row
from corruptor.line.config import LineConfig
from corruptor.line.plan import noise_seed
from corruptor.line.report import is_complete
from corruptor.line.run import Line, open_line, run_shards
from corruptor.line.worker import Worker, prompt_without
from corruptor.rows import InvertedBatch, ResampledRows, Rows, make_rows, resample_rows
from corruptor.schedule import num_inversion_passes
from shards.errors import ConfigError
from shards.source import Reject, Source, SourceItem

MOST_BYTES = 1 << 29
"""Of pictures that are kept for other lines of a shard."""


@dataclass(frozen=True)
class Inverted:
    """One source; its latents from clean to noisy, TCHW fp32, on the model's device; round trip uint8 HWC."""

    trajectory: Tensor
    round_trip: Tensor


@dataclass(frozen=True)
class Resampled:
    """One row out of the decoder, uint8 HWC, and its injected latent cells, bool HW."""

    image: Tensor
    cells: Tensor
    nfe: int


@dataclass
class Kept:
    """What the lines of one shard have in common so far."""

    sources: dict[str, Inverted] = field(default_factory=dict)
    rows: dict[str, Resampled] = field(default_factory=dict)
    pictures: dict[tuple[str, int], SourceItem | Reject] = field(default_factory=dict)
    """By source and index, up to MOST_BYTES."""
    num_bytes: int = 0
    earliest: dict[str, int] = field(default_factory=dict)
    """Earliest start step that any line needs, by `inversion_facts`."""

    def clear(self) -> None:
        self.sources.clear()
        self.rows.clear()
        self.pictures.clear()
        self.num_bytes = 0


class KeptSource(Source):
    """A source whose pictures are kept for the lines to come."""

    def __init__(self, source: Source, facts: str, kept: Kept) -> None:
        self.source, self.facts, self.kept = source, facts, kept
        self.name = source.name

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> SourceItem | Reject:
        found = self.kept.pictures.get((self.facts, index))
        if found is None:
            found = self.source[index]
            size = found.image.nbytes if isinstance(found, SourceItem) else 0
            if self.kept.num_bytes + size <= MOST_BYTES:
                self.kept.num_bytes += size
                self.kept.pictures[self.facts, index] = found
        return found

    def listing(self) -> Iterator[str]:
        return self.source.listing()


@dataclass
class SharedWorker(Worker):
    """A worker that computes only what is not kept yet."""

    kept: Kept = field(default_factory=Kept)

    def corrupt_rows(self, sources: list[list[Row]]) -> CorruptedBatch:
        items = [rows[0].loaded.item for rows in sources]
        self._invert([item for item in items if not self._is_inverted(item)])
        made = [(place, row) for place, many in enumerate(sources) for row in many]
        inverted = self._inverted(items)
        rows = make_rows(
            inverted.images_BHWC,
            torch.from_numpy(np.stack([row.mask for _, row in made])),
            [noise_seed(self.config.seed, row.loaded.item, row.variant) for _, row in made],
            [place for place, _ in made],
        )
        config = self.config.corruption
        if config.ladder is not None or config.injection.kinds is not None:  # what it resamples is no other line's
            without = [prompt_without(self.config.samples, row) for _, row in made]
            return corrupt_inverted(self.backbone, inverted, rows, config, self.judges, without)
        resampled = self._resampled(items, inverted, rows)
        return finish_rows(resampled, inverted, rows, self.config.corruption, self.backbone.factor, self.judges)

    @property
    def num_latents(self) -> int:
        """From the clean latents to those at this line's start step."""
        return self.config.corruption.num_grid_steps - self.config.corruption.lowest_step + 1

    def _is_inverted(self, item: SourceItem) -> bool:
        found = self.kept.sources.get(inversion_key(item, self.config))
        return found is not None and len(found.trajectory) >= self.num_latents

    def _invert(self, items: list[SourceItem]) -> None:
        if not items:
            return
        images = torch.from_numpy(np.stack([item.image for item in items]))
        prompts = [self.config.samples.prompt_of(item.caption) for item in items]
        done = invert_images(self.backbone, images, prompts, as_early(self.config.corruption, self.kept.earliest))
        for at, item in enumerate(items):
            self.kept.sources[inversion_key(item, self.config)] = Inverted(
                torch.stack([latents[at] for latents in done.trajectory]),
                done.round_trips_BHWC[at],
            )

    def _inverted(self, items: list[SourceItem]) -> InvertedBatch:
        found = [self.kept.sources[inversion_key(item, self.config)] for item in items]
        return InvertedBatch(
            images_BHWC=torch.from_numpy(np.stack([item.image for item in items])),
            round_trips_BHWC=torch.stack([one.round_trip for one in found]),
            conditioning=self.backbone.embed([self.config.samples.prompt_of(item.caption) for item in items]),
            trajectory=tuple(torch.stack([one.trajectory[: self.num_latents] for one in found], dim=1)),
            nfe=sum(inversion_nfe(self.backbone, self.config.corruption, item.image.shape[:2]) for item in items),
        )

    def _resampled(self, items: list[SourceItem], inverted: InvertedBatch, rows: Rows) -> ResampledRows:
        names = [
            row_key(items[place], mask, seed, self.config)
            for place, mask, seed in zip(rows.source_of_row, rows.masks_NHW, rows.seeds, strict=True)
        ]
        todo = [at for at, name in enumerate(names) if name not in self.kept.rows]
        if todo:
            done = resample_rows(self.backbone, inverted, rows.chosen(todo), self.config.corruption)
            for image, cells, at in zip(done.images_NHWC, done.cells_NHW, todo, strict=True):
                self.kept.rows[names[at]] = Resampled(image, cells, done.nfe // len(todo))
        found = [self.kept.rows[name] for name in names]
        return ResampledRows(
            images_NHWC=torch.stack([one.image for one in found]),
            cells_NHW=torch.stack([one.cells for one in found]),
            nfe=sum(one.nfe for one in found),
        )


def inversion_key(item: SourceItem, config: LineConfig) -> str:
    """The same only where an inversion gives the same: pixels at the model's size, prompt, and how it is inverted.

    Not how far: inverting to a later start step is the beginning of inverting to an earlier one.
    """
    facts = (item.image.shape, config.samples.prompt_of(item.caption), inversion_facts(config.corruption))
    return hashlib.sha256(np.ascontiguousarray(item.image).tobytes() + repr(facts).encode()).hexdigest()


def inversion_facts(config: CorruptionConfig) -> str:
    """How a picture is inverted."""
    return repr((config.inversion, config.num_grid_steps, config.negative_prompt))


def as_early(config: CorruptionConfig, earliest: Mapping[str, int]) -> CorruptionConfig:
    """The config with the earliest start step of the lines that invert as it does."""
    step = min(config.lowest_step, earliest.get(inversion_facts(config), config.lowest_step))
    if step == config.lowest_step:
        return config
    return dataclasses.replace(config, injection=InjectionConfig(start_step=step), ladder=None)


def inversion_nfe(backbone: Backbone, config: CorruptionConfig, size: Sequence[int]) -> int:
    """Noise predictions that inverting one picture of `size` (height, width) to the config's start step takes."""
    schedule = backbone.schedule.with_steps(config.num_grid_steps)
    schedule = schedule.for_size(size[0] // backbone.factor, size[1] // backbone.factor)
    passes = num_inversion_passes(schedule, config.lowest_step, config.inversion)
    return passes * backbone.guidance.samples_at(config.inversion.guidance_scale)


def row_key(item: SourceItem, mask: Tensor, seed: int, config: LineConfig) -> str:
    """The same only where the decoder gives the same."""
    alike = dataclasses.replace(
        config.corruption, paste_back=False, raw_negatives=False, verification=VerificationConfig(policy="keep")
    )
    digest = hashlib.sha256(mask.numpy().tobytes() + repr(alike).encode()).hexdigest()
    return f"{inversion_key(item, config)}/{seed}/{digest}"


def open_lines(runs: Sequence[tuple[LineConfig, Path]], kept: Kept) -> list[Line]:
    """Lines over one loaded model, with workers that share what is kept.

    Raises ConfigError where the runs name different models or have other numbers of shards, and other UserErrors.
    """
    lines: list[Line] = []
    for config, out in runs:
        line = open_line(config, out, backbone=lines[0].backbone if lines else None)
        shared = SharedWorker(line.backbone, line.config, line.plan, line.worker.recorder, line.worker.judges, kept)
        source = KeptSource(line.source, repr(config.source), kept)
        lines.append(dataclasses.replace(line, worker=shared, source=source))
    for name, values in (
        ("model", [line.config.model for line in lines]),
        ("number of shards", [line.plan.num_shards for line in lines]),
    ):
        other = next((value for value in values if value != values[0]), None)
        if other is not None:
            raise ConfigError(f"runs made together need one {name}; given {values[0]} and {other}: make them apart")
    return lines


def earliest_steps(configs: Sequence[CorruptionConfig]) -> dict[str, int]:
    """The earliest start step of those that invert alike."""
    found: dict[str, int] = {}
    for config in configs:
        facts = inversion_facts(config)
        found[facts] = min(config.lowest_step, found.get(facts, config.lowest_step))
    return found


def make_runs(runs: Sequence[tuple[LineConfig, Path]], rank: int, num_processes: int) -> None:
    """This process's share of the shards of every run; the last to end closes the runs. Raises UserErrors."""
    kept = Kept()
    lines = open_lines(runs, kept)
    for shard in range(rank, lines[0].plan.num_shards, num_processes):
        todo = [line for line in lines if not line.writer.is_done(shard)]
        kept.earliest = earliest_steps([line.config.corruption for line in todo])
        for line in todo:
            run_shards(line, [shard])
        kept.clear()
    for line in lines:
        if not line.writer.todo():
            with line.writer.alone() as waited:
                if not (waited and is_complete(line.writer.out)):
                    line.writer.finalise()
