"""What a plan costs before it starts: pictures, passes, FLOPs, trainings, hours, disk.

Hours on cards are reckoned from floating-point operations, those on a processor from what was measured on one core of a
server (AMD EPYC 7003). Bounds are upper ones: what is dropped on the way costs less.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ablation.plan import Plan, detector_facts
from ablation.shared_cost import Shared
from ablation.stages import DerivedWork, LineWork, MadeWork, Stage, TrainWork, is_done
from corruptor.line.cards import GPUS, Gpu
from corruptor.line.config import LineConfig
from corruptor.line.cost import (
    FEWEST_SOURCES,
    UTILISATION,
    bytes_of_samples,
    bytes_to_fetch,
    costs_of,
    count_passes,
    count_work,
    readable_hours,
    sampling_grid,
    seconds_on,
    vae_overflows,
)
from corruptor.line.inspect_source import Inspection, inspect_source
from corruptor.model_zoo import KNOWN
from miniworld.world.scenes import SIZE
from shards.build import build, nearest
from shards.decoded import MOST_BYTES
from shards.errors import ConfigError, OutputError

CORE_TFLOPS = 0.065
"""Of the embedded generator on one core."""
ROW_SECONDS = 0.05
"""Rendering, regions and encoding of one row, beside the model, on one core."""
WILD_SECONDS = 3.2
"""Sampling one picture of the embedded world and labelling it, on one core."""
LOOK_SECONDS = 0.01
"""Of a detector of the embedded world at one picture, on one core."""
START_SECONDS = 20.0
"""Until a fresh process has loaded everything."""
MADE_BYTES, COUNT_BYTES, OTHER_BYTES = 12_000, 3_000, 40_000_000
"""Of a sampled picture with its label; of the counts of one test picture; of tables, plots and decoded test pictures.
"""


@dataclass(frozen=True)
class DetectorCost:
    """A network of configs/detector."""

    tflop: float
    """Forward, one picture at the size it is trained at; a training step is three times that for each of the batch."""
    parameters: float
    """Millions."""
    core_seconds: float = 0.0
    """An iteration of 8 on one core where it was measured, both cores busy; 0 where not."""


DETECTORS = {
    "swin_mini": DetectorCost(0.000195, 1.5, 0.25),
    "convnext_mini": DetectorCost(0.000161, 1.3, 0.19),
    "probe": DetectorCost(0.000138, 0.02),
    "swin_t": DetectorCost(0.47, 60.0),
    "convnext_t": DetectorCost(0.47, 60.0),
}
"""Counted from the networks; others are taken for swin_t."""


@dataclass(frozen=True)
class Machine:
    """What it is reckoned for: cards side by side, or cores."""

    name: str
    workers: int
    card: Gpu | None = None


@dataclass(frozen=True)
class Cost:
    """Of one stage. Seconds are those of one core or card."""

    pictures: int = 0
    passes: int = 0
    """UNet samples; guidance counts twice."""
    tflop: float = 0.0
    trainings: int = 0
    seconds: float = 0.0
    bytes: int = 0
    unpriced: int = 0
    """Runs of the line whose model's configs are not here: their FLOPs and seconds are missing."""

    def __add__(self, other: Cost) -> Cost:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(mine + its for mine, its in pairs))


def find_machine(gpu: str, processes: int) -> Machine:
    """The named card, or this machine. Raises ConfigError for an unknown card."""
    if gpu:
        if gpu not in GPUS:
            raise ConfigError(f"--gpu is {gpu!r}{nearest(gpu, GPUS)}")
        return Machine(f"one {GPUS[gpu].name}", 1, GPUS[gpu])
    import torch

    if torch.cuda.is_available():
        told = torch.cuda.get_device_name()
        card = next((card for card in GPUS.values() if card.name.split()[0].lower() in told.lower()), GPUS["a100"])
        return Machine(f"{processes} x {told}", processes, card)
    return Machine(f"{processes} core{'s' if processes > 1 else ''} of this machine", processes)


@dataclass
class Pricer:
    """Prices the stages of a plan in their order."""

    plan: Plan
    machine: Machine
    found: dict[str, Cost] = field(default_factory=dict)
    """By name of the stage."""
    not_ready: list[str] = field(default_factory=list)
    """Sources that cannot be opened, a line each."""
    _shared: Shared = field(default_factory=Shared)

    def price(self) -> dict[str, Cost]:
        """Of every stage; what runs share is counted with the first of them. Raises ConfigError."""
        for stage in self.plan.stages.values():
            self.found[stage.name] = self.cost_of(stage)
        return self.found

    def cost_of(self, stage: Stage) -> Cost:
        work = stage.work
        if isinstance(work, MadeWork):
            count = work.made.count
            # Its sampler runs the embedded generator; the oracle works on the processor whatever the card.
            return Cost(
                count,
                count * work.made.steps * 2,
                0.0,
                0,
                count * WILD_SECONDS,
                count * MADE_BYTES + decoded_bytes(count, SIZE, SIZE),
            )
        if isinstance(work, LineWork):
            return self.line(stage, work)
        if isinstance(work, DerivedWork):
            before = self.found.get(work.data.stage, Cost(FEWEST_SOURCES, bytes=FEWEST_SOURCES * MADE_BYTES))
            seconds = before.pictures * (WILD_SECONDS / 2 if work.relabel else ROW_SECONDS)
            times = 1 + work.twins + (work.shams is not None)
            return Cost(before.pictures * times, seconds=seconds, bytes=times * before.bytes)
        return self.train(work)

    def line(self, stage: Stage, work: LineWork) -> Cost:
        """A run of the line."""
        config = build(LineConfig, work.values)
        look = self.look(stage, work, config)
        count = look.count or FEWEST_SOURCES
        known = KNOWN.get(config.model.folder)
        passes = count_passes(
            config.corruption, config.samples.num_variants, sampling_grid(config.model, look.height, look.width)
        )
        passes = self._shared.left(work, config, passes)
        rows = count * config.samples.num_variants
        size = bytes_of_samples(config, rows, look.height, look.width) + bytes_to_fetch(config.model)
        size += decoded_bytes(rows, look.height, look.width)
        priced = costs_of(config.model, look.height, look.width)
        if priced is None:
            return Cost(rows, count * passes.nfe, 0.0, 0, rows * ROW_SECONDS, size, unpriced=1)
        flops = count_work(passes, priced, look.height, look.width)
        tflop = count * (flops.denoiser + flops.vae)
        if self.machine.card is None:
            seconds = tflop / CORE_TFLOPS + rows * ROW_SECONDS
        else:
            seconds = count * seconds_on(self.machine.card, flops, config.model, vae_overflows(config.model, known))
        return Cost(rows, count * passes.nfe, tflop, 0, seconds, size)

    def look(self, stage: Stage, work: LineWork, config: LineConfig) -> Inspection:
        """How many pictures, and of which size; of a set that is not made yet what the plan says of it."""
        if work.sources is not None and work.sources.stage:
            limit = int(config.source.options.get("limit", 0) or 0)
            made = self.found[work.sources.stage].pictures
            side = SIZE if config.size.policy == "none" else config.size.size
            return Inspection("shards", min(limit, made) if limit else made, side, side)
        if work.sources is not None:
            options = {**config.source.options, "where": work.sources.path}
            config = dataclasses.replace(config, source=dataclasses.replace(config.source, options=options))
        try:
            found = inspect_source(config)
        except ConfigError as error:
            raise ConfigError(f"arm {stage.title!r}: {error}") from error
        if found.remark.startswith("NOT READY: "):
            self.not_ready.append(f"sources of arm {stage.title!r}: {found.remark.removeprefix('NOT READY: ')}")
        return found

    def train(self, work: TrainWork) -> Cost:
        """A training with its looks at validation and test sets."""
        config = detector_facts(work.backbone, work.overrides, work.iterations)["config"]
        iterations, batch = config["train_cfg"]["max_iters"], config["train_dataloader"]["batch_size"]
        one = DETECTORS.get(work.backbone, DETECTORS["swin_t"])
        looks = (iterations // max(1, config["train_cfg"]["val_interval"]) + 1 + len(self.plan.tests)) * (
            work.limit or 500
        )
        tflop = iterations * batch * 3 * one.tflop + looks * one.tflop
        if self.machine.card is not None:
            seconds = tflop / (self.machine.card.half_tflops / 2 * UTILISATION)  # detectors train in TF32
        elif one.core_seconds:
            seconds = iterations * one.core_seconds * batch / 8 + looks * LOOK_SECONDS
        else:
            seconds = tflop / CORE_TFLOPS
        size = round(4e6 * one.parameters) + len(self.plan.tests) * (work.limit or 1000) * COUNT_BYTES
        return Cost(0, 0, tflop, 1, START_SECONDS + seconds, size)


def decoded_bytes(count: int, height: int, width: int) -> int:
    """Of pictures and masks that trainings share (shards/decoded.py)."""
    size = count * height * width * 4
    return size if size <= MOST_BYTES else 0


def total(found: Iterable[Cost]) -> Cost:
    return sum(found, Cost())


def remaining(each: dict[str, Cost], stages: Path, taken: Collection[str] = ()) -> Cost:
    """Of the stages that are not done, here or (`taken`) elsewhere."""
    return total(cost for name, cost in each.items() if not is_done(stages, name) and name not in taken)


def check_disk(needed: int, out: Path) -> None:
    """Raise OutputError where what is still to be made does not fit."""
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed + OTHER_BYTES > free:
        raise OutputError(
            f"the plan needs up to {(needed + OTHER_BYTES) / 1e9:.3g} GB, {free / 1e9:.3g} GB are free at {there}; "
            "choose another disk with --out, fewer arms, or fewer pictures"
        )


def cost_lines(
    plan: Plan, each: dict[str, Cost], machine: Machine, stages: Path, taken: Collection[str] = ()
) -> list[str]:
    """The plan in words, a line for each kind of stage; `taken` are finished in other grids' folders."""
    names = {
        "made": "sampled sets",
        "shards": "runs of the line",
        "derived": "derived sets",
        "train": "trainings",
    }
    arms, jobs = len(plan.grid.arms), len(plan.jobs)
    lines = [f"{plan.grid.title}: {arms} arms, {jobs} trainings in the table, {len(plan.stages)} stages"]
    for kind, name in names.items():
        mine = [stage.name for stage in plan.stages.values() if stage.kind == kind]
        if mine:
            done = sum(is_done(stages, one) for one in mine)
            lines.append(
                f"  {name}: {len(mine)}{f', {done} done' if done else ''}; {words(total(each[one] for one in mine))}"
            )
    if taken:
        lines.append(f"  taken over from other folders: {len(taken)} of {len(plan.stages)} stages")
    left = remaining(each, stages, taken)
    lines.append(f"to do: {words(left)}")
    hours = left.seconds / 3600
    lines.append(f"about {readable_hours(hours / machine.workers)} on {machine.name}, reckoned, not measured")
    open_ones = [arm.name for arm in plan.grid.arms if not known_cost(plan, arm.name, each)]
    if open_ones:
        lines.append(
            f"FLOPs and hours do not hold the line's in {', '.join(open_ones)}: its model's configs are not here"
        )
    return lines


def known_cost(plan: Plan, arm: str, each: dict[str, Cost]) -> bool:
    stage = plan.made_by_line(arm)
    return stage is None or not each[stage.name].unpriced


def words(cost: Cost) -> str:
    """ "2,000 pictures, 32,000 passes, 44 TFLOP, 12 min of one core or card, 0.05 GB"."""
    parts = [f"{cost.pictures:,} pictures"] if cost.pictures else []
    parts += [f"{cost.passes:,} passes"] if cost.passes else []
    parts += [f"{cost.tflop / 1000:,.{0 if cost.tflop > 1e5 else 3}f} PFLOP"] if cost.tflop else []
    return ", ".join(
        [*parts, f"{readable_hours(cost.seconds / 3600)} of one core or card", f"{cost.bytes / 1e9:.3g} GB"]
    )
