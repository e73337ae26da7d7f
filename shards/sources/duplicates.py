"""How many earlier pictures of a source have the same bytes, found lazily and in linear time.

Only files of equal byte size can be equal, and of these only those of equal first and last kilobytes, which are looked
at once for each file, in the order of the list. Whole files are hashed where they still agree.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shards.source import Reject

END = 4096
"""Bytes at either end of a file that are compared first."""


@dataclass
class _Alike:
    """Files of one byte size; numbers are indices of the list."""

    members: list[int]
    """In order."""
    done: int = 0
    """How many of them have been looked at."""
    by_ends: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Looked at and not hashed yet, by a hash of their ends."""
    by_digest: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Hashed, in order."""
    known: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """Hash of the ends, and sha256, of files that were read and are not in `by_digest` yet."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Duplicates:
    """Counts equal files of a list.

    Args:
        sizes: byte size of each file, in the order of the list; below 1 for what is no file.
        ends: (index, n) -> the first and last n bytes of a file, or all of them, or why it cannot be read.
        read: index -> all bytes, or why not.
    """

    def __init__(
        self,
        sizes: Iterable[int],
        ends: Callable[[int, int], bytes | Reject],
        read: Callable[[int], bytes | Reject],
    ) -> None:
        self._ends, self._read = ends, read
        by_size: dict[int, list[int]] = defaultdict(list)
        for index, size in enumerate(sizes):
            by_size[size].append(index)
        self._by_size = {size: _Alike(found) for size, found in by_size.items() if len(found) > 1 and size > 0}

    def earlier(self, index: int, size: int, data: bytes) -> int:
        """How many files before `index`, whose listed size and bytes these are, have the same bytes."""
        alike = self._by_size.get(size)
        if alike is None:
            return 0
        mine = describe(data)
        with alike.lock:
            alike.known[index] = mine
            self._look(alike, index, size)
            # Of those with the same ends the contents decide now; each is hashed once.
            for other in alike.by_ends.pop(mine[0], []):
                digest = alike.known.pop(other)[1] if other in alike.known else self._digest(other)
                if digest:
                    insort(alike.by_digest[digest], other)
            alike.known.pop(index, None)
            return bisect_left(alike.by_digest.get(mine[1], []), index)

    def _look(self, alike: _Alike, index: int, size: int) -> None:
        """Look at the ends of all files up to `index` that were not looked at."""
        while alike.done < len(alike.members) and alike.members[alike.done] <= index:
            other = alike.members[alike.done]
            alike.done += 1
            found = b"" if other in alike.known else self._ends(other, END)
            if isinstance(found, Reject):
                continue
            if len(found) == size:
                alike.known[other] = describe(found)
            key = alike.known[other][0] if other in alike.known else ends_key(found)
            alike.by_ends[key].append(other)

    def _digest(self, index: int) -> bytes:
        data = self._read(index)
        return b"" if isinstance(data, Reject) else hashlib.sha256(data).digest()


def describe(data: bytes) -> tuple[int, bytes]:
    """Hash of the ends, and sha256, of a file's bytes."""
    ends = data if len(data) <= 2 * END else data[:END] + data[-END:]
    return ends_key(ends), hashlib.sha256(data).digest()


def ends_key(ends: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(ends, digest_size=8).digest(), "big")
