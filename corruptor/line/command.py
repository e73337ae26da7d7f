"""The verb `shards`: the main path from config to finished run, read from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from corruptor.line.cards import DEFAULT_GPU, GPUS
from corruptor.line.config import LineConfig
from corruptor.line.cost import cost_lines
from corruptor.line.inspect_source import inspect_source
from corruptor.line.meter import Meter
from corruptor.line.plan import make_plan
from corruptor.line.processes import ALONE, Place
from corruptor.line.ready import model_remark
from corruptor.line.report import (
    cut_note,
    enlarged_note,
    is_complete,
    selection_note,
    speed,
    summary,
    write_left_out,
    write_run_sheet,
    write_run_view,
)
from region_select.policy import open_policy
from shards.errors import MissingInputError
from shards.files import check_local


def make_shards(config: LineConfig, out: Path, place: Place = ALONE, extend: bool = False) -> str:
    """Make, resume or extend a run, or this process's share of it; returns its closing words.

    Raises UserError subclasses.
    """
    from corruptor.line.run import open_line, run_shards

    check_local(out)  # before a model is loaded
    line = open_line(config, out, place=place, extend=extend)
    meter = Meter(line.plan, line.writer, place)
    with meter.shown, meter.log():
        claims = meter.watch(line.writer.claims(place.rank, place.num_processes))
        run_shards(line, claims, meter.settled, meter.worked)
    seconds = meter.seconds
    left = line.writer.todo()
    if left:
        return (
            f"{place.summary}: {speed(meter.rows, seconds)}; {len(left)} shards are left to processes that still run "
            f"(if none does, run the same command again)"
        )
    with line.writer.alone() as waited:
        if waited and is_complete(out):
            return f"{place.summary}: {speed(meter.rows, seconds)}"
        sheet = write_run_sheet(out)
        write_left_out(out, line.source)
        totals = line.writer.finalise()
        look = [str(sheet), write_run_view(out, anew=meter.rows > 0)] if sheet else []
    words = summary(out, totals, meter.rows, seconds, look)
    recorder = line.worker.recorder
    return "\n".join(filter(None, [selection_note(line.source), enlarged_note(recorder), cut_note(recorder), words]))


class DryRun(NamedTuple):
    """A plan in words."""

    summary: str
    ready: bool
    """Whether source, selector and model are all there."""


def dry_run(config: LineConfig, out: Path, gpu: str = DEFAULT_GPU) -> DryRun:
    """Open what can be opened without the model and the network, and say what would be done and what it costs.

    Raises UserError subclasses for a config that cannot work; what is not there yet is said.
    """
    found = inspect_source(config)
    remarks = [found.remark, found.enlarged_note(), model_remark(config.model)]
    try:
        open_policy(config.region.policy, config.region.options)
    except MissingInputError as error:
        remarks.append(f"NOT READY: {error}")
    remarks = [remark for remark in remarks if remark]
    plan = make_plan(config, found.count)
    rows = plan.num_items * plan.num_variants
    corruption = config.corruption
    words = "\n".join(
        [
            f"{found.count or 'any number of'} pictures of '{found.name}', {plan.num_variants} variants each: "
            f"{rows} rows, about {config.samples.clean_share:.0%} of them clean, "
            f"in {plan.num_shards} shards under {out}",
            *remarks,
            f"model {config.model.folder}, method {corruption.injection.method}, start step {corruption.start_step} "
            f"of {corruption.num_grid_steps}, inversion {corruption.inversion.mode}",
            f"regions by '{config.region.policy}', pictures by '{config.size.policy}'",
            *cost_lines(config, found, GPUS[gpu], out),
        ]
    )
    return DryRun(words, not any(remark.startswith("NOT READY") for remark in remarks))
