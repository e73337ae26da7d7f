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
from corruptor.line.report import close_run, is_complete, speed
from region_select.policy import open_policy
from shards.errors import ConfigError, MissingInputError
from shards.files import check_local
from shards.object_run import ObjectRun, Staged
from shards.store_claim import StoreClaim
from shards.stores import Address, ObjectStore


def make_shards(config: LineConfig, out: Path | Address, place: Place = ALONE, extend: bool = False) -> str:
    """Make, resume or extend a run, or this process's share of it; returns its closing words.

    Raises UserError subclasses.
    """
    if isinstance(out, Path):
        check_local(out)  # before a model is loaded
        return make_in(config, out, None, place, extend)
    if place.num_processes > 1:
        raise ConfigError(
            f"{out}: several processes cannot share out the shards of a run in an object store among themselves; use "
            f"--engine ray, which hands them out, or one process"
        )
    with StoreClaim(ObjectStore(out)) as claim:
        return make_in(config, Staged(out), claim, place, extend)


def make_in(config: LineConfig, out: Path | Staged, claim: StoreClaim | None, place: Place, extend: bool) -> str:
    """As `make_shards`, in a folder of this machine, which may be that of a run elsewhere."""
    from corruptor.line.run import open_line, run_shards

    line = open_line(config, out, place=place, extend=extend)
    if isinstance(line.writer, ObjectRun):
        line.writer.claim = claim
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
        if waited and is_complete(line.writer.out):
            return f"{place.summary}: {speed(meter.rows, seconds)}"
        return close_run(line, meter.rows, seconds)


class DryRun(NamedTuple):
    """A plan in words."""

    summary: str
    ready: bool
    """Whether source, selector and model are all there."""


def dry_run(config: LineConfig, out: Path | Address, gpu: str = DEFAULT_GPU) -> DryRun:
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
