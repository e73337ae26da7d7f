"""The card of a file of weights: what model they belong to, as plain data of a closed form (detector.card_form)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.card_form import MODEL
from detector.card_size import Size, check_size
from detector.errors import CheckpointError
from detector.forms import MAX_CLASSES
from shards.build import BuildError, build, describe, plain
from shards.guard.json_text import JsonLimits, parse_object

CARD = "blemish.detector"
"""Its name among the metadata of a safetensors file."""
LIMITS = JsonLimits(1 << 20, 1 << 15, 32)
MIN_SIDE, MAX_SIDE = 8, 4096
MAX_NAME = 200
REJECTORS = ("MaskRejector", "PixelRejector")
"""Detectors made of a network that knows valid content (detector.rejection.rejector)."""
LOSSES = ("loss_decode", "sampler", "init_cfg", "pretrained", "rejection_loss")
"""What only training reads."""


@dataclass(frozen=True)
class Card:
    """What a file of weights is. Raises ValueError for a model outside of the form or too large to build."""

    model: dict[str, Any]
    """What mmseg's registry builds the model from, without what only training reads."""
    image_size: int
    """Side in pixels that pictures are brought to before they are looked at."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, .."""
    iterations: int = 0
    seed: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else is known, such as the score that chose the weights."""
    size: Size = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not MIN_SIDE <= self.image_size <= MAX_SIDE:
            raise ValueError(f"image_size must be in {MIN_SIDE}..{MAX_SIDE}, got {self.image_size}")
        object.__setattr__(self, "model", MODEL(plain(self.model), "model"))
        number = num_classes(self.model)
        check_valid(self.model)
        if len(self.classes) != number or number > MAX_CLASSES:
            raise ValueError(f"{len(self.classes)} names of classes for a model that tells {number} apart")
        long = [name for name in self.classes if len(name) > MAX_NAME]
        if long:
            raise ValueError(f"a class has a name of {len(long[0])} characters; at most {MAX_NAME} are allowed")
        object.__setattr__(self, "size", check_size(self.model, self.image_size))

    def to_json(self) -> str:
        """One line; numbers that are not finite, which JSON has none of, become null."""
        told = {name: value for name, value in plain(self).items() if name != "size"}
        return json.dumps(finite(told), sort_keys=True, allow_nan=False)


def num_classes(model: Mapping[str, Any]) -> int:
    """How many labels a model tells apart. Raises ValueError where its config does not say."""
    return 2 if model.get("type") in REJECTORS else num_contents(model)


def num_contents(model: Mapping[str, Any]) -> int:
    """How many classes its network has; of a detector that rejects they are those of valid content."""
    told = model.get("decode_head", model.get("network", {})).get("num_classes")
    if type(told) is not int:
        raise ValueError("model has neither decode_head.num_classes nor network.num_classes")
    return told


def check_valid(model: Mapping[str, Any]) -> None:
    """Raise ValueError for a valid class that the network does not have."""
    wrong = [one for one in model.get("valid_classes") or () if one >= num_contents(model)]
    if wrong:
        raise ValueError(f"valid_classes names class {wrong[0]}; the network has {num_contents(model)}, from 0 on")


def card_from_json(text: Any, path: Path) -> Card:
    """Raises CheckpointError for a card that is damaged, or outside of the form."""
    if not isinstance(text, str):
        raise CheckpointError(f"{path}: its card is {describe(text)}, not text; make the file again")
    told = parse_object(text, f"{path}: its card", limits=LIMITS, error=CheckpointError)
    try:
        return build(Card, told)
    except (ValueError, BuildError) as error:
        raise CheckpointError(f"{path}: its card cannot be used ({error})") from error


def without_losses(model: Mapping[str, Any]) -> dict[str, Any]:
    """A config that was trained, whose losses may be anything, as a card holds it."""
    kept = {name: value for name, value in model.items() if name not in LOSSES}
    return {name: without_losses(value) if isinstance(value, Mapping) else value for name, value in kept.items()}


def finite(value: Any) -> Any:
    """Plain values with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
