"""Detector configs, which mmengine's Runner takes as they are, and what `--set` and `--iterations` do to them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detector.compat import load_mmseg
from detector.config_form import MAX_ITERATIONS, check_values
from detector.initialise import InitialOptions
from shards.build import BuildError, build, describe, nearest, plain
from shards.config import parse_override, run_config
from shards.errors import ConfigError

IDLE = ("log_every", "state_every", "log_level", "visualizer")
"""Values that change nothing in what is learned."""
FREE = ("initialise", "class_weight", "clip_grad")
"""Values that may be None and something else in turn, so that their type says nothing."""


def load_config(path: str | Path, overrides: Iterable[str] = (), iterations: int | None = None) -> Any:
    """Run the config file and apply "a.b=v"; returns an mmengine Config.

    Raises MissingInputError; ConfigError where the file fails, or an override names nothing (the nearest is told) or
    has another type than what it replaces.
    """
    load_mmseg()
    config = run_config(path)
    for text in overrides:
        override(config, text)
    for name in ("model", "image_size", "train_dataloader", "train_cfg", "optim_wrapper", "randomness"):
        if name not in config:
            raise ConfigError(f"config {path} has no `{name}`; inherit from configs/detector/base.py")
    check_values(config)
    if iterations is not None:
        set_iterations(config, iterations)
    return config


def override(config: Any, text: str) -> None:
    """Set one value in place; parts of the name are keys, or positions in a list."""
    path, value = parse_override(text)
    place: Any = config
    for depth, part in enumerate(path):
        known = [str(i) for i in range(len(place))] if isinstance(place, (list, tuple)) else list(place)
        if part not in known:
            raise ConfigError(f"override {text!r}: no '{'.'.join(path[: depth + 1])}'{nearest(part, known)}")
        key: Any = int(part) if isinstance(place, (list, tuple)) else part
        if depth == len(path) - 1:
            check_kind(text, place[key], value, part)
            # A list is what overrides are read as; some of mmseg's transforms insist on the tuple that was there.
            place[key] = tuple(value) if isinstance(place[key], tuple) and isinstance(value, list) else value
            return
        place = place[key]
        if not isinstance(place, (dict, list)):
            raise ConfigError(f"override {text!r}: {part} is the value {place!r}, not a group of values")


def check_kind(text: str, old: Any, new: Any, name: str) -> None:
    """Raise ConfigError where `new` is of another type than `old`; whole numbers may stand for fractions."""
    if name in FREE or old is None or type(old) is type(new):
        return
    both_lists = isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))
    if both_lists or (isinstance(old, dict) and isinstance(new, dict)) or (type(old) is float and type(new) is int):
        return
    raise ConfigError(f"override {text!r}: expected {type(old).__name__} such as {old!r}, got {describe(new)}")


def set_iterations(config: Any, iterations: int) -> None:
    """Train for so many iterations: the schedule of the learning rate and the validations shrink or grow with it.

    Raises ConfigError for less than one.
    """
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise ConfigError(f"iterations must be 1 or more, at most {MAX_ITERATIONS}, got {iterations}")
    before = config.train_cfg.max_iters
    for schedule in config.get("param_scheduler") or []:
        for name in ("begin", "end"):
            if name in schedule:
                schedule[name] = round(schedule[name] * iterations / before)
        # A warm-up that would vanish: mmengine wants at least one iteration.
        schedule["end"] = max(schedule["end"], schedule["begin"] + 1)
    config.train_cfg.max_iters = iterations
    config.train_cfg.val_interval = max(1, round(config.train_cfg.val_interval * iterations / before))


def set_seed(config: Any, seed: int) -> None:
    """One seed for weights, draws, augmentation and dropout."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in 0..2**32 - 1, got {seed}")
    config.randomness.seed = seed
    config.train_dataloader.sampler.seed = seed
    config.train_dataloader.dataset.seed = seed


def initial_options(config: Any) -> InitialOptions | None:
    """The config line `initialise`, None where training starts from random weights. Raises ConfigError."""
    line = config.get("initialise")
    if line is None:
        return None
    try:
        return build(InitialOptions, plain(line))
    except BuildError as error:
        raise ConfigError(f"initialise: {error}") from error


def decisive_config(config: Any) -> dict[str, Any]:
    """What of the config decides what is learned, as plain values: equal for equal trainings."""
    values: dict[str, Any] = plain(copy.deepcopy(config.to_dict()))
    for key in IDLE:
        values.pop(key, None)
    for loader in ("train_dataloader", "val_dataloader"):
        (values.get(loader) or {}).get("dataset", {}).pop("decoded", None)
    sampler = values["train_dataloader"]["sampler"]
    for place, name in ((values["train_cfg"], "patience"), (sampler, "together"), (sampler, "even")):
        if not place.get(name):
            place.pop(name, None)  # trainings from before it could be asked for are the same
    return values
