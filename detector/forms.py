"""Checks of plain values that a file or a config names: each gives the value as it is kept, or says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shards.build import describe

Check = Callable[[Any, str], Any]
"""(value, its dotted name) -> the value as it is kept. Raises ValueError."""

MAX_CHANNELS = 4096
MAX_CLASSES = 1024
MAX_STAGES = 6


def whole(low: int, high: int) -> Check:
    def check(value: Any, path: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{path} must be a whole number in {low}..{high}, got {describe(value)}")
        return value

    return check


def real(low: float, high: float) -> Check:
    """A finite number; kept as it is, so that 4 stays 4."""

    def check(value: Any, path: str) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"{path} must be a number in {low:g}..{high:g}, got {describe(value)}")
        return value

    return check


def flag(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{path} must be true or false, got {describe(value)}")
    return value


def nothing(value: Any, path: str) -> None:
    if value is not None:
        raise ValueError(f"{path} must be empty in the card of a file of weights, got {describe(value)}")


def choice(*allowed: Any) -> Check:
    def check(value: Any, path: str) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise ValueError(f"{path} must be one of {', '.join(map(repr, allowed))}, got {describe(value)}")
        return value

    return check


def series(of: Check, least: int, most: int) -> Check:
    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, (list, tuple)) or not least <= len(value) <= most:
            raise ValueError(f"{path} must be a list of {least}..{most} values, got {describe(value)}")
        return [of(one, f"{path}[{i}]") for i, one in enumerate(value)]

    return check


def maybe(inner: Check) -> Check:
    return lambda value, path: None if value is None else inner(value, path)


def one_or_two(of: Check) -> Check:
    both = series(of, 2, 2)
    return lambda value, path: (both if isinstance(value, (list, tuple)) else of)(value, path)


@dataclass(frozen=True)
class Form:
    """A group of named values: `needed` must be there, `known` may be, `dropped` may be too and is not kept."""

    needed: Mapping[str, Check] = field(default_factory=dict)
    known: Mapping[str, Check] = field(default_factory=dict)
    dropped: Mapping[str, Check] = field(default_factory=dict)

    def __call__(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} must be a group of named values, got {describe(value)}")
        checks = {**self.needed, **self.known, **self.dropped}
        for name in value:
            if name not in checks:
                raise ValueError(
                    f"{path} takes no {str(name)[:60]!r}; it takes {', '.join(sorted(checks)) or 'nothing'}"
                )
        for name in self.needed:
            if name not in value:
                raise ValueError(f"{path} lacks {name!r}")
        kept = {name: checks[name](one, f"{path}.{name}") for name, one in value.items()}
        return {name: one for name, one in kept.items() if name not in self.dropped}
