"""Names instead of places: a run says what a folder was called, never where on a machine it lay.

    "/home/alice/pictures", "../pictures", "pictures"    ->  "pictures", in all that may be published
    OUT/.local.json                                      the places themselves, for `remake` on this machine

So a config's hash, and the samples with it, are the same wherever pictures, models and the run lie, and however their
places are spelled. What comes with the installed packages is named from there; addresses and hub ids stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shards.config import INSTALLED
from shards.errors import SchemaError, UserError
from shards.extensions import is_code
from shards.files import write_bytes, write_json
from shards.guard.json_text import read_object

LOCAL, IGNORE = ".local.json", ".gitignore"
IGNORED = f"# Places on the machine that made this; git and the Hugging Face hub leave them out.\n{LOCAL}\n"
PLACES = frozenset(("root", "masks", "tars", "where", "par", "index", "folder", "vae", "config", "weights", "detector"))
"""Options whose text is a place however it is spelled. Text of any other option is one where it is an absolute path."""
PATTERNS = ("{", "*", "?", "[", "://")
"""Signs of what is more than one file, or none of this machine."""
HUB = frozenset(("folder", "vae", "detector"))
"""Those that may be an id on a hub."""


def public(value: Any, name: str = "") -> Any:
    """Plain values with the last part of its path for each place; `name` is the option that they are of."""
    if isinstance(value, Mapping):
        return {key: public(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [public(inner, name) for inner in value]
    return public_text(value, name) if isinstance(value, str) else value


def public_text(text: str, name: str = "") -> str:
    """As `public`, of one text."""
    code, mark, attribute = text.rpartition(":")
    if is_code(text) and code.endswith(".py"):
        return f"{os.path.basename(code)}{mark}{attribute}"
    place = place_of(text, name)
    return (os.path.basename(place) or ".") if place else packaged(text, name) or text


def place_of(text: str, name: str = "") -> str:
    """The absolute path that a text means, "" where it is no place of this machine's own."""
    scheme, mark, rest = text.partition("://")
    if mark:
        return os.path.abspath(rest) if scheme.lower() in ("file", "local") and rest else ""
    relative = not os.path.isabs(text)
    if not text or (relative and name not in PLACES) or packaged(text, name):
        return ""
    if relative and ((name in HUB and not os.path.exists(text)) or (name == "index" and text == "none")):
        return ""
    return os.path.abspath(text)


def packaged(text: str, name: str = "") -> str:
    """The path from the installed packages on of what lies in one of them; "" of anything else."""
    if not os.path.isabs(text) and name not in PLACES:
        return ""
    try:
        path = Path(os.path.realpath(INSTALLED / text))
        part = path.relative_to(INSTALLED).parts[0]
        inside = path.exists() and (INSTALLED / part / "__init__.py").is_file()
    except (ValueError, IndexError, OSError):  # elsewhere, INSTALLED itself, or no name that a file can have
        return ""
    return path.relative_to(INSTALLED).as_posix() if inside else ""


def places(values: Any, path: str) -> Iterator[tuple[str, str | list[str]]]:
    """(dotted name, absolute path or list of them) of what `public` replaces in a tree that is called `path`."""
    name = path.rpartition(".")[2]
    if isinstance(values, Mapping):
        for key, inner in values.items():
            yield from places(inner, f"{path}.{key}")
    elif isinstance(values, str) and not is_code(values) and place_of(values, name):
        yield path, place_of(values, name)
    elif isinstance(values, list) and is_place(values) and any(place_of(one, name) for one in values):
        yield path, [place_of(one, name) or one for one in values]


def keep_places(out: Path, known: Mapping[str, str | list[str]]) -> None:
    """Write OUT/.local.json, and what keeps it from being published; nothing for no places. Raises OutputError."""
    if not known or read_places(out) == known:
        return
    if not (out / IGNORE).exists():
        write_bytes(out / IGNORE, IGNORED.encode())
    write_json(out / LOCAL, dict(known))


def read_places(out: Path) -> dict[str, str | list[str]]:
    """What `keep_places` wrote; empty where there is nothing that can be read."""
    try:
        told = read_object(out / LOCAL, error=SchemaError)
    except UserError:
        return {}
    return {name: value for name, value in told.items() if is_place(value)}


def may_be_there(value: Any) -> bool:
    """Whether all these places are there, as far as that can be told without unfolding patterns."""
    found = [value] if isinstance(value, str) else value if is_place(value) else []
    return bool(found) and all(any(mark in one for mark in PATTERNS) or os.path.exists(one) for one in found)


def is_place(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
