"""Names from outside (keys, archive members, pictures, tasks) as names of files: one safe component, never a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

MAX_NAME_BYTES = 150
"""Longest name given, in UTF-8; file systems take 255, and endings such as `.webp.partial` come on top."""
FORBIDDEN = frozenset('/\\:*?"<>|')
RESERVED = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))))
"""Names of devices on Windows, with any extension."""
DIGITS = 10


def file_name(text: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Any text -> one path component that is safe on every file system, the same for the same text.

    A safe text of at most `max_bytes` (UTF-8) stays as it is. In any other, what is not safe becomes `_`, it is cut,
    and the first digits of its sha256 follow, so that two texts that differ only there stay two.
    """
    safe = "".join(char if _is_safe(char) else "_" for char in text).strip(" .")
    if safe == text and safe and len(safe.encode()) <= max_bytes and safe.split(".")[0].lower() not in RESERVED:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    cut = safe.encode()[: max_bytes - DIGITS - 1].decode("utf-8", "ignore").rstrip(" .")
    return f"{cut or 'unnamed'}-{digest}"


def distinct_names(texts: Iterable[str], max_bytes: int = MAX_NAME_BYTES) -> list[str]:
    """`file_name` of each text, in order, with `-2`, `-3`, .. where a name is taken, whatever its case."""
    names: list[str] = []
    taken: set[str] = set()
    for text in texts:
        name, number = file_name(text, max_bytes), 1
        while name.casefold() in taken:
            number += 1
            name = f"{file_name(text, max_bytes - 8)}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _is_safe(char: str) -> bool:
    return char.isprintable() and char not in FORBIDDEN
