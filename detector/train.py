"""Training a detector from shards: checks first, then mmengine's Runner, then the weights and what is known of them.

OUT/run.json             what is trained on what; the same command again resumes, another one is refused
OUT/state.pth            to resume from       OUT/log.jsonl   losses and scores
OUT/progress.jsonl       how far it is, for `blemish status`
OUT/best.safetensors     at the best validation so far
OUT/weights.safetensors  the result: the best, or the last where nothing was validated
OUT/train.json           config, seed, iterations, seconds, sources, versions; written last
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detector.card import Card, num_classes, without_losses
from detector.checkpoint import write_tensors
from detector.compat import quiet
from detector.config import decisive_config, initial_options
from detector.errors import DataError
from detector.folder import RESULT, Folder
from detector.initialise import Initial, find_initial
from detector.tensors import read_tensors
from detector.tracking import Tracking, check_tracker
from shards.build import plain
from shards.errors import ConfigError, ResumeError, SchemaError, SourceError, UserError
from shards.files import hash_file, write_json
from shards.memory import keep_freed_memory
from shards.reader import find_shards
from shards.shard_index import group_by_folder
from shards.store_reads import ReadStore
from shards.stores import Address

WEIGHTS = "weights.safetensors"
PACKAGES = ("torch", "mmengine", "mmsegmentation", "mmcv-lite", "transformers", "numpy")
_numbers = itertools.count()


@dataclass(frozen=True)
class Job:
    """One training: `config` is an mmengine Config (detector.config.load_config)."""

    config: Any
    name: str
    out: Path
    shards: tuple[str, ...] = ()
    """Training shards; () where the config's own data set is used, as scenes are."""
    val: tuple[str, ...] = ()
    launcher: str = "none"
    track: str = ""
    """Where the log also goes (detector.tracking); no part of what the training is."""


def train(job: Job, resume: bool = False) -> dict[str, Any]:
    """Train, or resume a training, and return what OUT/train.json holds. A finished training is not repeated.

    Args:
        resume: an error where there is nothing to resume.

    Raises MissingInputError, ConfigError, SchemaError, DataError, CheckpointError, ResumeError, OutputError; none of
    them leaves anything behind that was not there before. SourceError where shards in a store cannot be read any more:
    what was trained until then is resumed by the same command.
    """
    check_launcher(job.launcher)
    check_tracker(job.track)
    prepare_data(job)
    options = initial_options(job.config)
    initial = None if options is None else find_initial(options, "network" in job.config.model)
    card = make_card(job)
    if initial is not None:
        try_initial(card, initial)
    identity = identify(job, initial)
    leads = job.launcher == "none" or os.environ["RANK"] == "0"
    folder = Folder(job.out, identity, resume, leads)
    finished = folder.look()
    if finished is not None:
        return finished
    try:
        with tempfile.TemporaryDirectory() as scratch:
            runner, keeper, seconds = run(job, card, initial, folder, Path(scratch))
            speed = {"seconds": round(seconds, 3), "from_iteration": keeper.first}
            return finish(job, runner, card, {**identity, "last_call": speed}, keeper.best)
    finally:
        folder.close()


def check_launcher(launcher: str) -> None:
    """Raise ConfigError where torchrun has not said which of how many processes this is."""
    missing = [
        name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ
    ]
    if launcher != "none" and missing:
        raise ConfigError(
            f"--launcher {launcher}: {missing[0]} is not set; start it with torchrun --nproc-per-node N -m detector .."
        )


def prepare_data(job: Job) -> None:
    """Put the shards into the config, check them, and drop validation where there is nothing to validate on."""
    from detector.checks import check_set
    from detector.data import ShardDataset

    config = job.config
    if job.shards:
        told = told_apart(config)
        if told != 2:
            raise ConfigError(
                f"the model tells {told} classes apart (num_classes); shards tell 2 apart, clean and artifact"
            )
        config.train_dataloader.dataset.shards = list(job.shards)
        limit = config.train_dataloader.dataset.get("limit", 0)
        check_set(ShardDataset(job.shards, [], limit=limit), 2, "train a detector")
    if config.train_dataloader.batch_size < 2:
        raise ConfigError("train_dataloader.batch_size must be at least 2: batch normalisation needs two values")
    if job.val:
        config.val_dataloader.dataset.shards = list(job.val)
        check_set(ShardDataset(job.val, []), 1, "choose a checkpoint by")
    elif job.shards:
        if config.train_cfg.get("patience"):
            raise ConfigError("train_cfg.patience waits for a better validation: name a validation set, or set it to 0")
        config.val_dataloader = config.val_cfg = config.val_evaluator = None


def names_of(config: Any, number: int) -> tuple[str, ...]:
    """The labels' names: those of the scenes for a network whose classes are looked at by name, else numbers."""
    from shards.extensions import load_target

    told = config.train_dataloader.dataset.get("names")
    if "network" not in config.model or told is None:
        return tuple(str(i) for i in range(number))
    named: Any = load_target(told)
    return ("ground", *named)


def told_apart(config: Any) -> int:
    """The number of labels of a config's model. Raises ConfigError."""
    try:
        return num_classes(config.model)
    except ValueError as error:
        raise ConfigError(f"config: {error}") from error


def card_of_config(path: str) -> Card:
    """The card of what a config builds, for a checkpoint that has none. Raises MissingInputError, ConfigError."""
    from detector.config import load_config

    return make_card(Job(load_config(path), Path(path).stem, Path()))


def make_card(job: Job) -> Card:
    """What the weights will say of themselves."""
    config = job.config
    number = told_apart(config)
    classes = ("clean", "artifact") if number == 2 else names_of(config, number)
    facts = {"config": job.name}
    try:
        model = without_losses(plain(config.model.to_dict()))
        return Card(model, config.image_size, classes, config.train_cfg.max_iters, config.randomness.seed, facts)
    except ValueError as error:
        raise ConfigError(f"config {job.name}: {error}") from error


def try_initial(card: Card, initial: Initial) -> None:
    """Raise CheckpointError before anything is written where the weights to start from do not fit."""
    from detector.checkpoint import build_model
    from detector.initialise import initialise_model

    initialise_model(build_model(card), initial)


def identify(job: Job, initial: Initial | None) -> dict[str, Any]:
    """What makes this training this one: equal for equal results on one machine."""
    return {
        "name": job.name,
        "config": decisive_config(job.config),
        "shards": describe_shards(job.shards),
        "validation": describe_shards(job.val),
        "initialised_from": None if initial is None else {"part": initial.part, "sha256": initial.sha256},
    }


def describe_shards(where: Sequence[str]) -> list[dict[str, Any]]:
    """For each run its manifest's sha256, or for loose tars their own (in a store: as stated there, else the tag)."""
    if not where:
        return []
    described = []
    for folder, paths in group_by_folder(find_shards(list(where))):
        manifest = manifest_digest(folder)
        if manifest:
            told: dict[str, Any] = {"path": str(folder.parent), "manifest_sha256": manifest}
        else:
            digests = {path.name: hash_file(path) if isinstance(path, Path) else path.identity() for path in paths}
            told = {"path": str(folder), "sha256": digests}
        described.append({**told, "shards": len(paths)})
    return described


def manifest_digest(folder: Path | Address) -> str:
    """sha256 of the manifest of the run whose shards lie in a folder; "" where it is of no run."""
    if folder.name != "shards":
        return ""
    if isinstance(folder, Path):
        manifest = folder.parent / "manifest.json"
        return hash_file(manifest) if manifest.is_file() else ""
    found = ReadStore(folder.parent).get("manifest.json")
    return hashlib.sha256(found[0]).hexdigest() if found else ""


def make_runner(job: Job, card: Card, initial: Initial | None, folder: Folder, scratch: Path) -> tuple[Any, Any]:
    """mmengine's Runner with our hooks, and the hook that keeps states; resumes from OUT/state.pth if it is there."""
    import torch
    from mmengine.runner import Runner

    from detector import merged_groups, registry  # noqa: F401  register what the config names
    from detector.hooks import STATE, BeginHook, InitialHook, LogHook, PriorHook, SeedHook, StateHook

    config = job.config.copy()
    config.work_dir = str(scratch)
    config.launcher = job.launcher
    # mmengine keeps what it logs under this name, so two trainings in one process need two.
    config.experiment_name = f"{job.name}-{os.getpid()}-{next(_numbers)}"
    if job.launcher == "none" or not torch.cuda.is_available():
        config.sync_bn = None  # torch's SyncBatchNorm exists on cards only
    if job.launcher != "none" and not torch.cuda.is_available():
        # mmengine would ask for a card here and when it wraps the model.
        torch.distributed.init_process_group("gloo")
        config.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None}
    if (job.out / STATE).is_file():
        _, told = read_tensors(job.out / STATE)  # a damaged state is one clear line
        if told != card:
            raise ResumeError(f"{job.out / STATE} is no state of this training; delete it to begin again")
        config.load_from, config.resume = str(job.out / STATE), True
    config.optim_wrapper.constructor = "MergedGroups"
    with quiet():
        runner = Runner.from_cfg(config)
    if job.launcher == "none" and not torch.cuda.is_available():
        runner.model.to(memory_format=torch.channels_last)  # of the small detectors' steps 6% less time on a processor
    keeper = StateHook(job.out, config.state_every, card, config.val_score)
    resume = runner.load_or_resume
    runner.load_or_resume = lambda: going_on(resume, job.out / STATE)
    tracking = Tracking(job.track, job.out, job.name, folder.claim.identity) if job.track else None
    log = LogHook(folder, config.log_every, job.name, tracking)
    hooks = [BeginHook(folder), SeedHook(config.randomness.seed), log, keeper]
    hooks += [InitialHook(initial)] if initial is not None else []
    hooks += [PriorHook(config.prior_samples)] if config.get("prior_samples") else []
    for hook in hooks:
        runner.register_hook(hook)
    return runner, keeper


def going_on(resume: Callable[[], None], state: Path) -> None:
    """mmengine's own resume, whose errors are the state's. Raises ResumeError."""
    try:
        resume()
    except Exception as error:  # whatever a foreign state leads to
        raise ResumeError(f"{state} cannot be gone on from ({first_line(error)}); delete it to begin again") from error


def run(job: Job, card: Card, initial: Initial | None, folder: Folder, scratch: Path) -> tuple[Any, Any, float]:
    """Train: (runner, keeper of states, seconds). What cannot be built, before the folder is claimed, is the config's.

    An error of a loader's worker comes out as the one line it was.
    """
    from detector.hooks import LogHook

    keep_freed_memory()  # 4,000 page faults an iteration of the small detectors otherwise, a twentieth of their time
    try:
        runner, keeper = make_runner(job, card, initial, folder, scratch)
        began = time.monotonic()
        try:
            with quiet():
                runner.train()
        finally:
            for hook in runner.hooks:
                if isinstance(hook, LogHook):
                    hook.close()
    except (SchemaError, DataError, SourceError) as error:
        raise type(error)(own_words(error)) from error
    except UserError:
        raise
    except Exception as error:
        if folder.began:
            raise
        raise ConfigError(f"config {job.name} cannot be trained ({first_line(error)})") from error
    return runner, keeper, time.monotonic() - began


def own_words(error: Exception) -> str:
    """The message of an error of ours, of one from a loader's worker without the traceback around it."""
    last = str(error).strip().split("\n")[-1]
    return last.partition(f"{type(error).__name__}: ")[2] or last


def first_line(error: Exception) -> str:
    """Kind and message."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def finish(job: Job, runner: Any, card: Card, known: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
    """Write the weights and, last, the record."""
    from mmengine.dist import is_main_process

    from detector.hooks import BEST, STATE, bare

    record = {
        **known,
        "seed": card.seed,
        "iterations": runner.iter,
        "parameters": sum(p.numel() for p in runner.model.parameters()),
        "device": str(next(runner.model.parameters()).device),
        "validation_best": best,
        "versions": {name: version(name) for name in PACKAGES},
    }
    if is_main_process():
        tensors = read_tensors(job.out / BEST)[0] if best else bare(runner.model).state_dict()
        final = replace(card, iterations=best.get("iteration", runner.iter), facts={**card.facts, "validation": best})
        write_tensors(job.out / WEIGHTS, tensors, final)
        record["weights_sha256"] = hash_file(job.out / WEIGHTS)
        write_json(job.out / RESULT, record)
        for name in (BEST, STATE):
            (job.out / name).unlink(missing_ok=True)
    return record


def summary(record: dict[str, Any], out: Path) -> str:
    """One line about a finished training."""
    best = record["validation_best"]
    scores = ", ".join(f"{name.removeprefix('val/')} {value:.4f}" for name, value in best.items() if 0 < value < 1)
    chosen = f"; best at iteration {best['iteration']}: {scores}" if best else ""
    size = f"{record['parameters'] / 1e6:.2f} M parameters"
    return f"{out / WEIGHTS}: {record['name']}, {size}, {record['iterations']} iterations{chosen}"
