"""Shards of three arms from the same sources: the real line, but each source is inverted once for all of them.

Sources are worked through shard by shard, arm by arm; what was inverted for the first arm is kept until the last arm of
the shard is done. Processes share the shards out among themselves. A pixel may differ by one unit of rounding from what
the line gives an arm alone, since batches are made up otherwise.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.closed_world_plan import FIRST_SEED, MADE, PSEUDO, Chosen, Plan, line_changes, slug
from corruptor.line.batch import Row
from corruptor.line.config import LineConfig
from corruptor.line.plan import noise_seed
from corruptor.line.report import is_complete
from corruptor.line.run import Line, open_line, run_shards
from corruptor.line.work import Worker
from corruptor.pipeline import CorruptedBatch, InvertedBatch, corrupt_inverted, invert_images
from shards.build import plain
from shards.config import load_config, make_config
from shards.source import SourceItem


@dataclass(frozen=True)
class Kept:
    """One inverted source; its latents from clean to noisy, TCHW fp32, on the model's device; round trip uint8 HWC."""

    trajectory: Tensor
    round_trip: Tensor
    nfe: int


@dataclass
class SharedWorker(Worker):
    """A worker that inverts only what is not kept yet."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def _corrupt(self, sources: list[list[Row]]) -> CorruptedBatch:
        items = [rows[0].loaded.item for rows in sources]
        self._invert([item for item in items if name_of(item) not in self.kept])
        found = [self.kept[name_of(item)] for item in items]
        inverted = InvertedBatch(
            images_BHWC=torch.from_numpy(np.stack([item.image for item in items])),
            round_trips_BHWC=torch.stack([one.round_trip for one in found]),
            conditioning=self.backbone.embed([self.config.samples.prompt_of(item.caption) for item in items]),
            trajectory=tuple(torch.stack([one.trajectory for one in found], dim=1)),
            nfe_calls=max(one.nfe for one in found),
            nfe_samples=sum(one.nfe for one in found),
        )
        rows = [(place, row) for place, many in enumerate(sources) for row in many]
        return corrupt_inverted(
            self.backbone,
            inverted,
            torch.from_numpy(np.stack([row.mask for _, row in rows])),
            [noise_seed(self.config.seed, row.loaded.item, row.variant) for _, row in rows],
            self.config.corruption,
            [place for place, _ in rows],
        )

    def _invert(self, items: list[SourceItem]) -> None:
        if not items:
            return
        images = torch.from_numpy(np.stack([item.image for item in items]))
        prompts = [self.config.samples.prompt_of(item.caption) for item in items]
        done = invert_images(self.backbone, images, prompts, self.config.corruption)
        for at, item in enumerate(items):
            self.kept[name_of(item)] = Kept(
                torch.stack([latents[at] for latents in done.trajectory]),
                done.round_trips_BHWC[at],
                done.nfe_samples // len(items),
            )


def name_of(item: SourceItem) -> str:
    """A source picture's name."""
    return f"{item.sha256}/{item.occurrence}"


def arm_config(plan: Plan, arm: str, chosen: Chosen) -> LineConfig:
    """The line's config of an arm. Raises ConfigError."""
    values = plain(load_config(plan.config, LineConfig, plan.overrides))
    values["source"] = {"name": "miniworld", "options": {"count": plan.sources, "first_seed": FIRST_SEED}}
    values["compute"]["num_threads"] = 1
    for group, change in line_changes(arm, chosen, plan.fallback).items():
        values[group] = {**values[group], **change} if isinstance(change, dict) else change
    if arm == PSEUDO:
        # Masks as labels, nothing injected: the pictures go through all else, as those of the other arms do.
        values["corruption"]["sham"] = True
        values["corruption"]["verification"]["policy"] = "keep"
    return make_config(values, LineConfig)


def make_arms(plan: Plan, out: Path, chosen: Chosen, rank: int, num_processes: int) -> None:
    """This process's share of the three arms' shards in OUT/shards/ARM. Raises UserErrors."""
    kept: dict[str, Kept] = {}
    lines = open_lines(plan, out, chosen, kept)
    for shard in range(rank, lines[0].plan.num_shards, num_processes):
        for line in lines:
            if not line.writer.is_done(shard):
                run_shards(line, [shard])
        kept.clear()
    for line in lines:
        if not line.writer.todo():
            with line.writer.alone() as waited:
                if not (waited and is_complete(line.writer.out)):
                    line.writer.finalise()


def open_lines(plan: Plan, out: Path, chosen: Chosen, kept: dict[str, Kept]) -> list[Line]:
    """The arms' lines over one loaded model, with workers that share their inversions."""
    lines: list[Line] = []
    for arm in MADE:
        config = arm_config(plan, arm, chosen)
        line = open_line(config, arm_folder(out, arm), backbone=lines[0].backbone if lines else None)
        shared = SharedWorker(line.backbone, line.config, line.plan, line.worker.recorder, kept)
        lines.append(dataclasses.replace(line, worker=shared))
    assert len({repr(inversion_of(line.config)) for line in lines}) == 1, "arms that share inversions invert alike"
    return lines


def inversion_of(config: LineConfig) -> tuple[Any, ...]:
    """What an inversion depends on besides picture and model."""
    one = config.corruption
    return one.inversion, one.num_grid_steps, one.start_step, one.negative_prompt, config.samples.prompt


def arm_folder(out: Path, arm: str) -> Path:
    """The run folder of an arm."""
    return out / "shards" / slug(arm)
