"""Plain dictionaries to frozen dataclasses, checked field by field, and back.

Used for configs (where a mistyped key must be an error) and for a sample's JSON (where every value type must hold).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from shards.guard.json_text import MAX_INTEGER

T = TypeVar("T")

LATER = "later"
"""Key in the metadata of a field that came after runs had been made: `plain` leaves it out where it has its default, so
that a config that does not use it stays the same run, with the same hash; `build` never demands it."""
MAX_DEPTH = 32
"""Levels of dicts and lists in a value of free form; what is written down must be readable again."""


class BuildError(ValueError):
    """A value that does not fit its field; the message names the field by its dotted path."""


_HINTS: dict[Any, dict[str, Any]] = {}


def hints_of(cls: Any) -> dict[str, Any]:
    """Resolved types of a dataclass's fields; kept, because a sample's JSON asks for them many times."""
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def nearest(name: str, allowed: typing.Iterable[str]) -> str:
    """Return "; did you mean 'x'?" or, with nothing near, "; known: a, b"."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(choices) or 'none'}"


def build(cls: type[T], values: Mapping[str, Any], path: str = "", *, require_all: bool = False) -> T:
    """Build the dataclass `cls` from a mapping, recursively.

    Args:
        cls: a dataclass type; its fields may be int, float, str, bool, Literal, Optional, tuple[...], dict[str, ...],
            Any or other dataclasses.
        values: field name -> plain value. Lists are taken as tuples, an int is taken as a float.
        path: dotted path of `values` in its file, for messages.
        require_all: also demand the fields that have a default (a stored record has no defaults).

    Numbers are finite and integers have 64 bits; a field of type Any takes what JSON can hold and nothing else.

    Raises:
        BuildError: unknown key (naming the nearest), missing key, wrong type, or the dataclass's own check failed.
    """
    if not isinstance(values, Mapping):
        raise BuildError(f"{path or cls.__name__}: expected a dict, got {describe(values)}")
    hints = hints_of(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            near = inner_place(cls, str(name))
            hint = f"; did you mean '{join(path, near)}'?" if near else nearest(str(name)[:60], fields)
            raise BuildError(f"unknown key '{join(path, str(name)[:60])}'{hint}")
    built: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            built[name] = convert(hints[name], values[name], join(path, name), require_all)
        elif (require_all and LATER not in field.metadata) or not has_default(field):
            raise BuildError(f"missing key '{join(path, name)}'")
    try:
        return cls(**built)
    except BuildError:
        raise
    except ValueError as error:
        raise BuildError(f"{path or cls.__name__}: {error}") from error


def inner_place(cls: Any, name: str) -> str:
    """Dotted path of the field of this very name in a group within `cls`; "" where there is none, or more than one."""
    groups = {group: hint for group, hint in hints_of(cls).items() if dataclasses.is_dataclass(hint)}
    found = [join(group, inner) for group, hint in groups.items() if (inner := place_of(hint, name))]
    return found[0] if len(found) == 1 else ""


def place_of(cls: Any, name: str) -> str:
    """`name` where `cls` has such a field itself, else as `inner_place`."""
    return name if name in hints_of(cls) else inner_place(cls, name)


def has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def convert(hint: Any, value: Any, path: str, require_all: bool = False) -> Any:
    """Check `value` against the type `hint` and return it in its final form."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return check_free(value, path)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        return build(hint, value, path, require_all=require_all)  # type: ignore[arg-type]
    if origin is Literal:
        if not isinstance(value, (str, int)) or value not in args:
            raise BuildError(f"{path} = {shown(value)}{nearest(str(value)[:80], [str(arg) for arg in args])}")
        return value
    if origin is Union or origin is types.UnionType:
        return convert_union(args, value, path, require_all)
    if origin is tuple:
        return convert_tuple(args, value, path, require_all)
    if origin is dict or hint is dict:
        return convert_dict(args, value, path, require_all)
    return convert_scalar(hint, value, path)


def convert_scalar(hint: Any, value: Any, path: str) -> Any:
    value = value.item() if is_numpy(value) else value
    wrong_bool = isinstance(value, bool) and hint is not bool
    is_number = isinstance(value, int) and hint is float
    if wrong_bool or not (isinstance(value, hint) or is_number):
        raise BuildError(f"{path} must be {hint.__name__}, got {describe(value)}")
    check_number(value, path)
    return float(value) if is_number else value


def check_number(value: Any, path: str) -> None:
    """Refuse NaN, infinity and integers that 64 bits do not hold. Raises BuildError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BuildError(f"{path} must be a finite number, got {value}")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise BuildError(f"{path} must be a number of at most 64 bits, got one of {value.bit_length()} bits")


def check_free(value: Any, path: str, depth: int = 0) -> Any:
    """A value of free form as it is, where JSON can hold it. Raises BuildError naming the part that is none."""
    if depth > MAX_DEPTH:
        raise BuildError(f"{path[:80]}.. is nested deeper than the {MAX_DEPTH} levels that are taken")
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_free(item, join(path, str(key)), depth + 1)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            check_free(item, f"{path}[{number}]", depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            check_free(getattr(value, field.name), join(path, field.name), depth + 1)
    elif is_numpy(value):
        check_number(value.item(), path)
    elif value is None or isinstance(value, (str, int, float)):
        check_number(value, path)
    else:
        raise BuildError(f"{path} must be a number, text, True, False, None, list or dict, got {describe(value)}")
    return value


def is_numpy(value: Any) -> bool:
    """Whether it is a number of numpy or torch."""
    return hasattr(value, "item") and not isinstance(value, (str, bytes, type)) and getattr(value, "ndim", 0) == 0


def convert_union(args: tuple[Any, ...], value: Any, path: str, require_all: bool) -> Any:
    if value is None and type(None) in args:
        return None
    first_error: BuildError | None = None
    for arg in args:
        if arg is type(None):
            continue
        try:
            return convert(arg, value, path, require_all)
        except BuildError as error:
            first_error = first_error or error
    raise first_error or BuildError(f"{path} must be None, got {describe(value)}")


def convert_tuple(args: tuple[Any, ...], value: Any, path: str, require_all: bool) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise BuildError(f"{path} must be a list, got {describe(value)}")
    if len(args) == 2 and args[1] is Ellipsis:
        kinds = [args[0]] * len(value)
    elif len(args) == len(value):
        kinds = list(args)
    else:
        raise BuildError(f"{path} must have {len(args)} values, got {len(value)}: {shown(value)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(convert(kind, item, f"{path}[{i}]", require_all) for i, (kind, item) in pairs)


def convert_dict(args: tuple[Any, ...], value: Any, path: str, require_all: bool) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BuildError(f"{path} must be a dict, got {describe(value)}")
    kind = args[1] if len(args) == 2 else Any
    return {str(key): convert(kind, item, join(path, str(key)), require_all) for key, item in value.items()}


def plain(value: Any) -> Any:
    """The inverse of `build`: dataclasses and mappings to dicts, tuples to lists, numpy scalars to Python numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: plain(one) for field, one in told if LATER not in field.metadata or one != field.default}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if is_numpy(value) else value


def describe(value: Any) -> str:
    """Its type and what it is, in a few words."""
    return f"{type(value).__name__} {shown(value)}"


def shown(value: Any, length: int = 60) -> str:
    """`repr` in one short line; of a value that cannot be shown, its type."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an object of the user's own, an integer of too many digits, a list within itself
        return f"(a {type(value).__name__} that cannot be shown)"
    return text if len(text) <= length else f"{text[: length - 3]}..."


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
