"""Names from outside (keys, archive members, pictures, tasks) as names of files: one safe component, never a path."""

from __future__ import annotations

import hashlib
import unicodedata
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
    if safe.split(".")[0].rstrip(" ").lower() in RESERVED:
        safe = f"_{safe}"
    if safe == text and safe and len(safe.encode()) <= max_bytes:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    cut = safe.encode()[: max_bytes - DIGITS - 1].decode("utf-8", "ignore").rstrip(" .")
    return f"{cut or 'unnamed'}-{digest}"


def distinct_names(texts: Iterable[str], max_bytes: int = MAX_NAME_BYTES) -> list[str]:
    """`file_name` of each text, in order, with `-2`, `-3`, .. where a name is taken, whatever its case.

    At least 32 bytes are needed. Time is linear in the number of texts, also where all are the same.
    """
    names: list[str] = []
    taken: dict[str, int] = {}
    """Folded name -> the last number that was tried behind it."""
    for text in texts:
        name = file_name(text, max_bytes)
        if _folded(name) in taken:
            begin = file_name(text, max_bytes - 8)
            number = taken[_folded(name)]
            while _folded(name) in taken:
                number += 1
                name = f"{begin}-{number}"
            taken[_folded(file_name(text, max_bytes))] = number
        taken[_folded(name)] = 1
        names.append(name)
    return names


def _folded(name: str) -> str:
    """Equal for names that some file system takes for one: of another case, or with accents written another way."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_safe(char: str) -> bool:
    return char.isprintable() and char not in FORBIDDEN
