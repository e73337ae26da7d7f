"""Hooks of the training loop: seeds, progress and log, states to resume from, the best weights."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from detector.card import Card
from detector.checkpoint import save_weights
from detector.data import entropy
from detector.errors import DivergedError
from detector.folder import Folder
from detector.initialise import Initial, initialise_model
from detector.tracking import Tracking
from shards.errors import SchemaError
from shards.files import PARTIAL, sync_folder, write_bytes
from shards.guard.json_text import parse_object
from shards.guard.plain_file import read_plain
from shards.masks import U8
from shards.progress import GOES_ON, Progress
from shards.run_log import RunLog, Work

MAX_LOG = 1 << 28
STATE, BEST, LOG = "state.pth", "best.safetensors", "log.jsonl"


def bare(model: Any) -> Any:
    """The model itself, out of a wrapper for several processes."""
    return model.module if is_model_wrapper(model) else model


@HOOKS.register_module()
class BeginHook(Hook):
    """Claims the folder when everything is built and a first draw came through the pipeline, and not before."""

    priority = 0
    """Before all others."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def before_train(self, runner: Any) -> None:
        _ = runner.train_dataloader.dataset[(0, 0)]
        self.folder.begin()


@HOOKS.register_module()
class SeedHook(Hook):
    """Dropout and dropped paths of iteration i are a function of (seed, i, rank), so a restart changes nothing."""

    priority = "VERY_HIGH"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        torch.manual_seed(entropy(self.seed, runner.iter, get_rank()))


@HOOKS.register_module()
class InitialHook(Hook):
    """Weights of another training as the start; nothing where the run resumes from a state."""

    def __init__(self, initial: Initial) -> None:
        self.initial = initial

    def before_train(self, runner: Any) -> None:
        if runner.iter == 0:
            initialise_model(bare(runner.model), self.initial)


@HOOKS.register_module()
class PriorHook(Hook):
    """Classifiers begin at the frequency of the classes: bias of class c = log(share of its pixels).

    As focal loss does it (Lin et al. 2017, section 4.1). Where artifacts are one pixel in a hundred, a short training
    otherwise learns the frequency with its weights, all features come to vote "clean", and no pixel ever passes 0.5.

    Args:
        samples: evenly spread samples of the training set whose labels are counted.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def before_train(self, runner: Any) -> None:
        if runner.iter == 0:
            dataset = runner.train_dataloader.dataset
            picked = np.unique(np.linspace(0, len(dataset) - 1, min(self.samples, len(dataset))).astype(np.int64))
            set_prior(bare(runner.model), [dataset.load(int(index))[1] for index in picked])


def set_prior(model: Any, labels: Sequence[U8]) -> None:
    """Set the bias of all classifiers from label maps, uint8 HW with 255 ignored; unseen classes count one pixel."""
    for head in filter(None, (model.decode_head, getattr(model, "auxiliary_head", None))):
        size = head.num_classes
        counts = sum(np.bincount(one.ravel(), minlength=256)[:size] for one in labels)
        shares = torch.from_numpy(np.maximum(counts, 1) / np.maximum(counts, 1).sum())
        with torch.no_grad():
            head.conv_seg.bias.copy_(shares.log())


@HOOKS.register_module()
class LogHook(Hook):
    """A bar on stderr, quiet when that is no terminal, and a line of OUT/log.jsonl every few iterations.

    A line holds the iteration (from 1), the mean loss since the line before, the learning rate and seconds since the
    start; after a validation also its scores. `tracking` is told the same, and OUT/progress.jsonl (shards/run_log.py)
    says how far it is.
    """

    priority = "LOW"
    bar: Progress | None = None

    def __init__(self, folder: Folder, every: int, name: str, tracking: Tracking | None = None) -> None:
        self.folder, self.path = folder, folder.out / LOG
        self.every, self.name, self.tracking = every, name, tracking
        self.run_log: RunLog | None = None
        self.lines: list[dict[str, Any]] = []
        self.sum, self.count = torch.zeros(()), 0

    def before_train(self, runner: Any) -> None:
        # Lines behind the state that is resumed are written again.
        if self.path.exists() and runner.iter:
            self.lines = [line for line in read_lines(self.path) if line["iteration"] <= runner.iter]
        self.began = time.monotonic() - (self.lines[-1]["seconds"] if self.lines else 0)
        quiet = not is_main_process()
        if self.tracking is not None and is_main_process():
            self.tracking.start(runner.iter)
        self.bar = Progress(runner.max_iters, "iteration", self.name, initial=runner.iter, quiet=quiet, resumes=GOES_ON)
        self.work = Work(f"training of {self.name}", "iteration", runner.max_iters, runner.iter)
        if is_main_process():
            self.run_log = RunLog(self.folder.out, self.folder.claim.lock, 0, self.work.facts).__enter__()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.sum = self.sum + outputs["loss"].detach().to(self.sum.device)
        self.count += 1
        assert self.bar is not None
        self.bar.update()
        done = self.work.done = runner.iter + 1
        if done % self.every == 0 or done == runner.max_iters:
            loss = float(self.sum) / self.count
            if not math.isfinite(loss):
                raise diverged(runner, f"the loss is {loss}")
            self.sum, self.count = torch.zeros(()), 0
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            self.add(iteration=done, loss=loss, rate=rate)
            self.bar.note(loss=f"{loss:.4f}")
            self.work.notes = self.bar.notes

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.add(iteration=runner.iter, **(metrics or {}))

    def after_step(self, runner: Any) -> None:
        if self.lines and self.lines[-1]["iteration"] == runner.iter:
            self.write()

    def after_train(self, runner: Any) -> None:
        self.close()

    def close(self) -> None:
        """No more progress; mmengine tells hooks of the end of a training, not of its failure."""
        if self.bar is not None:
            self.bar.close()
        if self.run_log is not None:
            self.run_log.__exit__(*sys.exc_info())
            self.run_log = None
        if self.tracking is not None:
            self.tracking.finish()

    def add(self, **values: Any) -> None:
        self.lines.append({**values, "seconds": round(time.monotonic() - self.began, 3)})
        if self.tracking is not None:
            self.tracking.log(self.lines[-1])

    def write(self) -> None:
        if is_main_process():
            write_bytes(self.path, "".join(json.dumps(line) + "\n" for line in self.lines).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are whole; what is damaged is written no more."""
    try:
        lines = read_plain(path, MAX_LOG).split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(SchemaError):
            one = parse_object(line, LOG)
            if type(one.get("iteration")) is int and type(one.get("seconds")) in (int, float):
                found.append(one)
    return found


def diverged(runner: Any, what: str) -> DivergedError:
    rate = runner.optim_wrapper.get_lr()["lr"][0]
    return DivergedError(
        f"training diverged: {what} at iteration {runner.iter + 1}, with a learning rate of {rate:g}; "
        "train with a lower optim_wrapper.optimizer.lr into another folder"
    )


def check_finite(runner: Any) -> None:
    """Raise DivergedError for weights that are not finite: they call every picture clean."""
    for name, tensor in bare(runner.model).state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise diverged(runner, f"{name} holds values that are not finite")


@HOOKS.register_module()
class StateHook(Hook):
    """OUT/state.pth every few iterations, replaced whole, and OUT/best.safetensors where a validation was the best yet.

    Args:
        out: folder of the training. every: iterations between states. card: what the weights are.
        score: name of the validation score, higher is better.
    """

    priority = "VERY_LOW"

    def __init__(self, out: Path, every: int, card: Card, score: str) -> None:
        self.out, self.every, self.card, self.score = Path(out), every, card, score
        self.best: dict[str, Any] = {}
        self.first = 0

    def before_train(self, runner: Any) -> None:
        self.first = runner.iter
        self.lose_patience(runner)

    def lose_patience(self, runner: Any) -> None:
        """End the training where too many validations came after the best: known from the state, so a resume agrees."""
        loop = runner.train_loop
        waited = runner.iter - self.best["iteration"] if self.best else 0
        loop.stop_training = 0 < loop.patience * loop.val_interval <= waited

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        self.best = dict(checkpoint["meta"].get("best", {}))
        if self.best and type(self.best[self.score]) is not float:
            raise ValueError(f"its best {self.score} is no number")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        scores = metrics or {}
        # Of equals the later: before anything is found at all, every score is 0.
        if not self.best or scores[self.score] >= self.best[self.score]:
            self.best = {"iteration": runner.iter, **scores}
            check_finite(runner)
            if is_main_process():
                save_weights(self.out / BEST, bare(runner.model), self.card)
        self.lose_patience(runner)

    def after_step(self, runner: Any) -> None:
        if not (runner.iter % self.every == 0 or runner.iter == runner.max_iters):
            return
        check_finite(runner)
        if is_main_process():
            meta = {"iter": runner.iter, "epoch": 0, "best": self.best, "card": self.card.to_json()}
            runner.save_checkpoint(str(self.out), STATE + PARTIAL, by_epoch=False, meta=meta)
            (self.out / (STATE + PARTIAL)).replace(self.out / STATE)
            sync_folder(self.out)
