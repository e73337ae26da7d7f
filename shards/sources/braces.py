"""Brace ranges and lists in names of files, "data-{000000..000068}.tar", as shells and WebDataset have them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shards.errors import ConfigError

MAX_NAMES = 1 << 20
"""Most names that one pattern gives."""
MAX_CHARACTERS = 1 << 25
MAX_PATTERN, MAX_DEPTH = 4096, 8
RANGE = re.compile(r"(-?[0-9]{1,15})\.\.(-?[0-9]{1,15})(?:\.\.(-?[0-9]{1,15}))?|([A-Za-z])\.\.([A-Za-z])")


def expand_braces(pattern: str) -> list[str]:
    """All names, in order; a pattern without braces gives itself.

    `{00..12}` counts up or down, in steps with `{00..12..4}`, with leading zeros where an end has them; `{a..e}` goes
    through letters, `{a,b}` through a list, which may hold braces again; `{a}` stays as it is. Raises ConfigError for
    braces without their other half and for more than MAX_NAMES.
    """
    if len(pattern) > MAX_PATTERN:
        raise ConfigError(f"the pattern {pattern[:60]!r}... is longer than the {MAX_PATTERN} characters that are read")
    try:
        return _expand(pattern, 0)
    except ValueError as error:
        raise ConfigError(f"{pattern[:200]!r}: {error}; write a range as x-{{000..012}}.tar") from error


def _expand(pattern: str, depth: int) -> list[str]:
    """As `expand_braces`. Raises ValueError."""
    if depth > MAX_DEPTH:
        raise ValueError(f"braces are nested more than {MAX_DEPTH} deep")
    names, rest = [""], pattern
    while rest:
        start = min((at for at in (rest.find("{"), rest.find("}")) if at >= 0), default=len(rest))
        names = _joined(names, [rest[:start]])
        if start == len(rest):
            break
        inner, rest = _split(rest[start:])
        names = _joined(names, _choices(inner, depth))
    return names


def _joined(heads: list[str], tails: Sequence[str]) -> list[str]:
    count = len(heads) * len(tails)
    if count > MAX_NAMES or count * (len(heads[0]) + len(tails[0])) > MAX_CHARACTERS:
        raise ValueError(f"it stands for more than {MAX_NAMES} names, or {MAX_CHARACTERS} characters")
    return [head + tail for head in heads for tail in tails]


def _split(text: str) -> tuple[str, str]:
    """What lies within the braces that `text` begins with, and what follows them."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            break
        if depth == 0:
            return text[1:at], text[at + 1 :]
    raise ValueError("a brace lacks its other half")


def _choices(inner: str, depth: int) -> list[str]:
    """What `{inner}` stands for."""
    found = RANGE.fullmatch(inner)
    if found is not None:
        return _letters(found[4], found[5]) if found[4] else _numbers(found[1], found[2], found[3] or "1")
    parts, level = [""], 0
    for char in inner:
        level += (char == "{") - (char == "}")
        if char == "," and not level:
            parts.append("")
        else:
            parts[-1] += char
    expanded = [_expand(part, depth + 1) for part in parts]
    if sum(map(len, expanded)) > MAX_NAMES:
        raise ValueError(f"it stands for more than {MAX_NAMES} names")
    names = [name for choices in expanded for name in choices]
    return names if len(parts) > 1 else [f"{{{name}}}" for name in names]


def _numbers(first: str, last: str, step: str) -> list[str]:
    start, stop = int(first), int(last)
    stride = abs(int(step)) or 1
    if abs(stop - start) // stride >= MAX_NAMES:
        raise ValueError(f"it stands for more than {MAX_NAMES} names")
    padded = any(len(end) > 1 and end.lstrip("-").startswith("0") and end != "-0" for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    numbers = range(start, stop + 1, stride) if start <= stop else range(start, stop - 1, -stride)
    return [f"{number:0{width}d}" if width else str(number) for number in numbers]


def _letters(first: str, last: str) -> list[str]:
    start, stop = ord(first), ord(last)
    codes = range(start, stop + 1) if start <= stop else range(start, stop - 1, -1)
    return [chr(code) for code in codes if chr(code).isalpha()]
