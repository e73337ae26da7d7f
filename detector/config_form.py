"""Values of a training's config that are looked at before anything is built: kinds that exist, numbers in range.

A config is a program of the user's own and may hold more than this; a mistyped value is one line all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from detector.forms import Check, Form, choice, flag, maybe, real, series, whole
from shards.build import describe, plain
from shards.errors import ConfigError

MAX_ITERATIONS = 10**8
OPTIMIZERS = ("AdamW", "Adam", "SGD", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adamax")
SCHEDULES = ("LinearLR", "PolyLR", "CosineAnnealingLR", "ConstantLR", "MultiStepLR", "StepLR", "ExponentialLR")
COUNT, TIMES, SEED = whole(0, 1 << 40), whole(1, MAX_ITERATIONS), whole(0, 2**32 - 1)
CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What a `type` may be: a registered class. A dotted name would be imported."""


def loader(least: int, sampler: str) -> dict[str, Check]:
    return {
        "batch_size": whole(least, 1 << 16),
        "num_workers": whole(0, 256),
        "persistent_workers": flag,
        "sampler.type": choice(sampler),
        "sampler.seed": SEED,
        "sampler.together": flag,
        "sampler.even": flag,
        "dataset.type": choice("ShardDataset", "SceneDataset", "MemoryDataset"),
        "dataset.seed": SEED,
        "dataset.limit": COUNT,
        "dataset.first_seed": COUNT,
        "dataset.count": whole(1, 1 << 32),
    }


VALUES: dict[str, Check] = {
    "image_size": whole(8, 4096),
    "prior_samples": whole(0, 1 << 20),
    "log_every": TIMES,
    "state_every": TIMES,
    "randomness.seed": SEED,
    "train_cfg.type": choice("RestartableLoop"),
    "train_cfg.max_iters": TIMES,
    "train_cfg.val_interval": TIMES,
    "train_cfg.patience": COUNT,
    "val_cfg.type": choice("ValLoop"),
    "val_evaluator.type": choice("ArtifactIoU", "PixelAccuracy", "SceneQuality"),
    "optim_wrapper.type": choice("OptimWrapper", "AmpOptimWrapper"),
    "optim_wrapper.optimizer.type": choice(*OPTIMIZERS),
    "optim_wrapper.optimizer.lr": real(1e-12, 1e6),
    "optim_wrapper.optimizer.weight_decay": real(0, 1e6),
    "optim_wrapper.optimizer.momentum": real(0, 1),
    "optim_wrapper.optimizer.eps": real(0, 1),
    "optim_wrapper.optimizer.betas": series(real(0, 0.9999999), 2, 2),
    "optim_wrapper.clip_grad": maybe(
        Form(
            {},
            {
                "type": choice("norm", "value"),
                **{name: real(1e-9, 1e9) for name in ("max_norm", "norm_type", "clip_value")},
            },
        )
    ),
    **{f"train_dataloader.{name}": check for name, check in loader(1, "DrawSampler").items()},
    **{f"val_dataloader.{name}": check for name, check in loader(1, "DefaultSampler").items()},
}
SCHEDULE: dict[str, Check] = {
    "type": choice(*SCHEDULES),
    "begin": COUNT,
    "end": whole(1, 1 << 40),
    "by_epoch": choice(False),
    "start_factor": real(1e-12, 1),
    "end_factor": real(0, 1),
    "eta_min": real(0, 1e6),
    "power": real(0, 100),
}


def check_values(config: Any) -> None:
    """Raise ConfigError for the first value, by its dotted name, that is none of what is allowed."""
    values = plain(config.to_dict())
    try:
        check_types(values, "")
        check_each(values, VALUES, "")
        for at, schedule in enumerate(values.get("param_scheduler") or []):
            check_each(schedule, SCHEDULE, f"param_scheduler.{at}.")
    except ValueError as error:
        raise ConfigError(f"config: {error}") from error


def check_each(values: Any, checks: Mapping[str, Check], prefix: str) -> None:
    """Check what is there; a name that is not there has its default."""
    for name, check in checks.items():
        place = values
        for key in name.split("."):
            if not isinstance(place, Mapping) or key not in place:
                break
            place = place[key]
        else:
            check(place, prefix + name)


def check_types(value: Any, path: str) -> None:
    """Every `type`, at any depth, is the name of a class."""
    if isinstance(value, Mapping):
        kind = value.get("type", "it")
        if not isinstance(kind, str) or not CLASS.fullmatch(kind):
            raise ValueError(f"{path}.type must be the name of a registered class, got {describe(kind)}")
        for name, inner in value.items():
            check_types(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            check_types(inner, f"{path}.{at}")
