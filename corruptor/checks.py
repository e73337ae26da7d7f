"""Checks of config values, with the message that names field, value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable


def one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raises ValueError where the value is none of those allowed."""
    names = tuple(allowed)
    if value not in names:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(names)}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError where the value lies outside low .. high."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low:g} to {high:g}")
