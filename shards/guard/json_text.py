"""JSON from outside: bounded in bytes, values and depth, UTF-8, finite numbers of 64 bits; else one clear error.

`json.loads` takes NaN and Infinity, integers of any length, and as many nested brackets as the stack holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import MissingInputError, SchemaError, UserError
from shards.guard.plain_file import read_plain

MAX_INTEGER = (1 << 64) - 1
SHOWN = 120
"""Longest piece of a parser's own message that is passed on."""


@dataclass(frozen=True)
class JsonLimits:
    """What a document may be; each use takes the smallest that fits it."""

    max_bytes: int
    """Of bytes; text that is decoded already may have as many characters."""
    max_values: int
    """Numbers, strings, lists and objects, counted from above by commas and brackets."""
    max_depth: int = 64


RECORD = JsonLimits(1 << 24, 1 << 19)
"""A sample's facts, a card, a line of a log."""
TABLE = JsonLimits(1 << 28, 1 << 22)
"""A manifest, or annotations of a whole set."""


def parse_json(
    data: bytes | str,
    what: str,
    *,
    limits: JsonLimits = RECORD,
    error: type[UserError] = SchemaError,
    lenient: bool = False,
) -> Any:
    """Text from outside -> dicts, lists, strings, finite floats, integers of 64 bits, booleans, None.

    Args:
        data: UTF-8 bytes (a byte order mark is skipped) or text.
        what: what it is, for the message, such as a path.
        error: the UserError that is raised.
        lenient: a number that is no finite one of 64 bits becomes None; for records of other projects, of which some
            other value is wanted.

    Raises: `error`, in one line, for anything that is no JSON or exceeds `limits`.
    """
    try:
        return _parse(data, limits, lenient)
    except RecursionError:
        reason = f"lists and objects are nested deeper than the {limits.max_depth} levels that are read"
    except ValueError as found:
        reason = " ".join(str(found).split())[:SHOWN]
    raise error(f"{what}: not usable as JSON ({reason}); make or fetch it again")


def parse_object(
    data: bytes | str, what: str, *, limits: JsonLimits = RECORD, error: type[UserError] = SchemaError
) -> dict[str, Any]:
    """As `parse_json`, where only an object will do."""
    value = parse_json(data, what, limits=limits, error=error)
    if not isinstance(value, dict):
        raise error(f"{what}: holds a {type(value).__name__} where an object of named values belongs; make it again")
    return value


def read_json(path: Path, *, limits: JsonLimits = RECORD, error: type[UserError] = SchemaError) -> Any:
    """As `parse_json`, from a file. Raises MissingInputError, `error` (also where the file cannot be read)."""
    try:
        data = read_plain(path, limits.max_bytes)
    except FileNotFoundError as found:
        raise MissingInputError(f"{path} does not exist") from found
    except OSError as found:
        raise error(f"{path} cannot be read ({found.strerror or found})") from found
    return parse_json(data, str(path), limits=limits, error=error)


def read_object(path: Path, *, limits: JsonLimits = RECORD, error: type[UserError] = SchemaError) -> dict[str, Any]:
    """As `parse_object`, from a file. Raises MissingInputError, `error`."""
    value = read_json(path, limits=limits, error=error)
    if not isinstance(value, dict):
        raise error(f"{path}: holds a {type(value).__name__} where an object of named values belongs; make it again")
    return value


def _parse(data: bytes | str, limits: JsonLimits, lenient: bool) -> Any:
    if len(data) > limits.max_bytes:
        raise ValueError(f"{len(data)} bytes; at most {limits.max_bytes} are read")
    text = (data.decode() if isinstance(data, bytes) else data).removeprefix("\ufeff")
    openers = text.count("[") + text.count("{")
    if openers + text.count(",") > limits.max_values:
        raise ValueError(f"more than the {limits.max_values} values that are read")
    value = (LENIENT if lenient else STRICT).decode(text)
    if openers > limits.max_depth and _deeper_than(value, limits.max_depth):
        raise RecursionError
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _none(name: str) -> None:
    return None


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            return None

    return parsed


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is out of range")
    return number


def _integer(text: str) -> int:
    digits = len(text.lstrip("-"))  # counted first: int() takes a second for some ten thousand
    if digits > 20 or abs(number := int(text)) > MAX_INTEGER:
        raise ValueError(f"the number {text[:20]}... has {digits} digits, more than 64 bits hold")
    return number


def _deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` levels; by hand, since recursion is what may fail."""
    level: list[Any] = [value]
    for _ in range(depth):
        inner: list[Any] = []
        for holder in level:
            if isinstance(holder, (list, dict)):
                inner.extend(holder.values() if isinstance(holder, dict) else holder)
        level = [one for one in inner if isinstance(one, (list, dict))]
        if not level:
            return False
    return True


STRICT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
LENIENT = json.JSONDecoder(parse_constant=_none, parse_float=_or_none(_finite), parse_int=_or_none(_integer))
"""Made once: making one takes as long as a short record."""
