"""A run of the line: reading, the model and writing side by side, joined by bounded channels.

    reader threads -> loader thread -> | channel | -> the model, in the calling thread -> | channel | -> writer thread

Memory is bounded by the channels (and, where sizes are mixed, one shard of encoded samples). Whoever fails first stops
the others; shards that were complete stay, the one under way leaves nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from corruptor.backbone import Backbone, load_backbone
from corruptor.config import CorruptionConfig
from corruptor.line.batch import Batch, Done
from corruptor.line.channel import Channel
from corruptor.line.config import CHANGEABLE, MOST_THREADS, LineConfig, ModelConfig, RegionConfig, SourceConfig
from corruptor.line.loader import Loader
from corruptor.line.opinion import BAND, OPINION, open_judges, public_judges, with_sha256
from corruptor.line.plan import Plan, make_plan
from corruptor.line.processes import Place
from corruptor.line.record import Recorder
from corruptor.line.sink import Sink
from corruptor.line.worker import Worker
from region_select.policy import Policy, open_policy, policy_digest
from shards.build import plain
from shards.config import INSTALLED
from shards.errors import ConfigError, MissingInputError, UserError
from shards.growth import Followed, breaks, follow
from shards.object_run import ObjectRun, Staged
from shards.places import places, public
from shards.source import Source, open_source
from shards.writer import MANIFEST, RunInfo, RunWriter, read_manifest

GRACE = 10.0
"""Seconds that reader and writer are given to stop after Ctrl-C."""
EMBEDDED = ("miniworld",)
"""First parts of model folders that come with this package and are never names on a hub."""


class ModelError(UserError, ValueError):
    """A model that cannot be loaded or does not fit the run."""


@dataclass(frozen=True)
class Line:
    """A run made ready: everything loaded and checked, nothing made yet."""

    config: LineConfig
    """With device and number of threads resolved."""
    source: Source
    policy: Policy
    plan: Plan
    backbone: Backbone
    writer: RunWriter
    worker: Worker


def open_line(
    config: LineConfig,
    out: str | Path | Staged,
    backbone: Backbone | None = None,
    place: Place | None = None,
    extend: bool = False,
) -> Line:
    """Open source, policy and model (unless it is given), and claim the output folder, here or in an object store.

    `place` decides which card `cuda` is; None leaves that to torch. `extend` takes in what the source has more of than
    when the run was begun (shards/growth.py).

    Raises UserError subclasses, each a line that says what to do: ConfigError, SourceError, MissingInputError,
    ModelError, ResumeError (another run lies there), OutputError.
    """
    folder = out.folder if isinstance(out, Staged) else Path(out)
    begun = begun_manifest(folder)
    source = open_source(config.source.name, **config.source.options)
    followed = follow(source, folder, begun, config.samples.sources_per_shard, extend)
    source = followed.source
    config = resolve_compute(config, begun_threads(begun), place)
    config = replace(config, corruption=with_sha256(config.corruption))
    policy = open_policy(config.region.policy, config.region.options)
    source.needs_masks = not policy.falls_back
    backbone = backbone or open_model(config.model, config.compute.device)
    check_steps(config, backbone)
    policy.take_generator(backbone.twin())  # it proposes in another thread than the model damages in
    judges = open_judges(config.corruption.verification, config.compute.device)
    plan = make_plan(config, len(source), breaks(followed.grown))
    digest = backbone.digest()
    info = run_info(config, followed, plan, digest, policy_digest(config.region.policy, policy))
    writing = (info, config.samples.codec, source.grows if extend else None)
    writer = ObjectRun(out, *writing) if isinstance(out, Staged) else RunWriter(out, *writing)
    recorder = Recorder(backbone, published(config), plan, writer.hash, digest)
    return Line(config, source, policy, plan, backbone, writer, Worker(backbone, config, plan, recorder, judges))


def run_info(config: LineConfig, followed: Followed, plan: Plan, digest: str, region_digest: str = "") -> RunInfo:
    """What identifies the run; model and region policy by the sha256 of their files: retrained weights, another run."""
    values: dict[str, Any] = plain(published(config))
    values["model"]["digest"] = digest
    if region_digest:
        values["region"]["digest"] = region_digest
    return RunInfo(
        config=values,
        source=followed.source.describe(),
        num_shards=plan.num_shards,
        grown=followed.grown,
        listing=followed.source.listing,
        title=config.title or followed.source.card_title,
        licence=config.licence or followed.source.card_licence,
        ignore=CHANGEABLE,
        places={
            **dict(places(plain(config.source.options), "source.options")),
            **dict(places(plain(config.model), "model")),
            **dict(places(plain(config.corruption.verification.second_opinion), OPINION)),
            **dict(places(plain(config.corruption.verification.band), BAND)),
        },
    )


def published(config: LineConfig) -> LineConfig:
    """The config as a run may tell it to others: places of this machine by their names (shards/places.py)."""
    parts = {name: public(plain(getattr(config, name))) for name in ("source", "model", "region")}
    return replace(
        config,
        source=SourceConfig(**parts["source"]),
        model=ModelConfig(**parts["model"]),
        region=RegionConfig(**parts["region"]),
        corruption=public_judges(config.corruption),
    )


def begun_manifest(out: Path) -> dict[str, Any]:
    """The manifest of the run that lies in `out`; empty where there is none (what else lies there, the writer says)."""
    try:
        return read_manifest(out / MANIFEST)
    except UserError:
        return {}


def begun_threads(manifest: dict[str, Any]) -> int:
    """The number of threads that a run was begun with; 0 where there is none.

    Launchers set another number for several processes than for one, and a run may be resumed with another number.
    """
    try:
        threads = manifest["config"]["compute"]["num_threads"]
    except (KeyError, TypeError):
        return 0
    usable = isinstance(threads, int) and not isinstance(threads, bool) and 0 < threads <= MOST_THREADS
    return int(threads) if usable else 0  # the writer says what differs


def resolve_compute(config: LineConfig, begun: int = 0, place: Place | None = None) -> LineConfig:
    """Name the device and the number of threads that will be used, and set them. Raises ConfigError.

    A process takes the card of its place on the machine, but calls it `cuda` as all others do: the run is one.
    """
    name = config.compute.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"compute.device = {name!r} cannot be used ({reason}); try compute.device=cpu") from error
    if name == "cuda" and place is not None:
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    if config.compute.num_threads or begun:
        torch.set_num_threads(config.compute.num_threads or begun)
    return replace(config, compute=replace(config.compute, device=name, num_threads=torch.get_num_threads()))


def find_model(folder: str) -> str:
    """The folder as given, else beside the installed packages, else the name itself (a hub id).

    Raises MissingInputError where embedded weights are named and not there.
    """
    if Path(folder).is_dir():
        return folder
    if (INSTALLED / folder).is_dir():
        return str(INSTALLED / folder)
    if Path(folder).parts[:1] and Path(folder).parts[0] in EMBEDDED:
        raise MissingInputError(
            f"the embedded model {folder} is not in this installation; give another pipeline folder: model.folder=DIR"
        )
    return folder


def open_model(config: ModelConfig, device: str) -> Backbone:
    """Load the generator. Raises ModelError, MissingInputError: one line."""
    folder = find_model(config.folder)
    transformers_logging.disable_progress_bar()  # its bar over a second of reading would stand in the way of ours
    try:
        return load_backbone(
            folder,
            device,
            config.dtype,
            config.vae_dtype,
            config.revision,
            config.channels_last,
            config=config.config,
            variant=config.variant,
            vae=config.vae,
            vae_revision=config.vae_revision,
            text_encoders=config.text_encoders,
            quantise=config.quantise,
        )
    except FileNotFoundError as error:
        raise MissingInputError(str(error)) from error
    except Exception as error:  # diffusers, transformers and safetensors raise dozens of types on damaged files
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"model {config.folder} cannot be loaded: {reason}; fetch or save it again") from error


def check_grid(corruption: CorruptionConfig, backbone: Backbone) -> None:
    """That the model has such a grid and such steps. Raises ConfigError."""
    try:
        backbone.guidance.check(corruption)
        schedule = backbone.schedule.with_steps(corruption.num_grid_steps)
        schedule.check(corruption)
        if corruption.start_step < corruption.num_grid_steps:
            schedule.descending(corruption.start_step, corruption.resampling.num_steps)
    except ValueError as error:
        raise ConfigError(f"corruption: {error}") from error


def check_steps(config: LineConfig, backbone: Backbone) -> None:
    """What only the model can say of the config. Raises ConfigError."""
    check_grid(config.corruption, backbone)
    side, multiple = config.size.size, backbone.size_multiple
    if config.size.policy in ("crop", "pad") and side % multiple:
        raise ConfigError(f"size.size is {side}; this model takes multiples of {multiple}")
    if config.size.policy in ("crop", "pad") and 0 < backbone.most_side < side:
        raise ConfigError(f"size.size is {side}; this model has places for pictures of at most {backbone.most_side}")
    if config.size.policy == "bucket" and config.size.multiple % multiple:
        raise ConfigError(f"size.multiple is {config.size.multiple}; this model takes multiples of {multiple}")


def run_shards(
    line: Line,
    shards: Iterable[int],
    settled: Callable[[int, str], None] = lambda rows, outcome: None,
    worked: Callable[[float, int], None] = lambda seconds, nfe: None,
    closed: Callable[[int], None] = lambda shard: None,
) -> None:
    """Make these shards, in order; which, may be decided while they are made (RunWriter.claims).

    `settled` is called from a thread with a number of rows and what they became, `worked` after each batch with the
    seconds that the model took and its noise predictions (Meter), `closed` from a thread with each shard that is done.

    Raises OutputError, SourceError, ConfigError: the first error of any part, after all parts have stopped.
    """
    loader = Loader(line.source, line.policy, line.config, line.plan, line.backbone.size_multiple)
    sink = Sink(line.writer, line.plan, line.config.workers.num_encoders, settled, closed)
    batches: Channel[Batch] = Channel(line.config.workers.num_batches_ahead)
    works: Channel[Done] = Channel(line.config.workers.num_batches_ahead)
    threads = [
        start("loader", [batches, works], lambda: pour(loader.batches(shards), batches)),
        start("writer", [batches, works], lambda: sink.consume(iter(works))),
    ]
    patience = None
    try:
        for batch in batches:
            began, nfe = time.monotonic(), line.backbone.nfe.samples
            done = line.worker.work(batch)
            worked(time.monotonic() - began, line.backbone.nfe.samples - nfe)
            works.put(done)
        works.close()
    except BaseException as error:
        batches.fail(error)
        works.fail(error)
        # A reader may hang in the operating system for good, and so does who waits for it.
        patience = None if isinstance(error, Exception) else GRACE
        raise
    finally:
        for thread in reversed(threads):
            thread.join(patience)
    works.check()


def start(name: str, channels: Sequence[Channel[Any]], work: Callable[[], None]) -> threading.Thread:
    """Run `work` in a thread, on the caller's card; should it fail, everybody on the channels hears of it."""
    card = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def guarded() -> None:
        try:
            if card is not None:  # torch chooses cards thread by thread
                torch.cuda.set_device(card)
            work()
        except BaseException as error:
            for channel in channels:
                channel.fail(error)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def pour(things: Generator[Batch, None, None], channel: Channel[Batch]) -> None:
    """Put everything into the channel, then close it."""
    with closing(things):
        for thing in things:
            channel.put(thing)
    channel.close()
