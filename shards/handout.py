"""Numbered pieces of work, handed out to workers that come and go. Knows nothing of how workers are reached.

A piece that a lost worker had in hand goes back to the front. One whose worker was lost MOST_LOSSES times is given up:
something about it ends its workers.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST_LOSSES = 5
BUSY_PAUSE = 5.0
"""Seconds before a piece that somebody outside works on is looked at again."""


class Pieces(Protocol):
    """What a worker sees of the handout."""

    def next(self) -> int | None:
        """A piece to work on; None where there is none now."""

    def done(self, piece: int, facts: Any = None) -> None:
        """The piece is finished, and its facts are for whoever leads."""

    def busy(self, piece: int) -> None:
        """Somebody outside this handout works on the piece."""


@dataclass(frozen=True)
class News:
    """What has happened since it was last asked for."""

    facts: tuple[tuple[int, Any], ...]
    """(piece, facts) of what was finished, in the order in which it came."""
    waiting: int
    """Pieces that could be handed out now."""
    unfinished: int
    given_up: tuple[int, ...]
    """Pieces that have cost too many workers."""


@dataclass
class Handout:
    """Who has which piece. One thread at a time."""

    pieces: Iterable[int]
    clock: Callable[[], float] = time.monotonic
    _todo: deque[int] = field(default_factory=deque)
    _later: dict[int, float] = field(default_factory=dict)
    _held: dict[int, str] = field(default_factory=dict)
    """Piece -> the worker that has it."""
    _losses: Counter[int] = field(default_factory=Counter)
    _facts: list[tuple[int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._todo.extend(self.pieces)

    def next(self, worker: str) -> int | None:
        """A piece for this worker; None where none is to be had now (others may still come back)."""
        self._wake()
        if not self._todo:
            return None
        piece = self._todo.popleft()
        self._held[piece] = worker
        return piece

    def done(self, worker: str, piece: int, facts: Any = None) -> None:
        """The piece is finished; said twice, or by a worker that was taken for lost, it counts once."""
        if piece in self._held:
            del self._held[piece]
        elif piece in self._todo:
            self._todo.remove(piece)
        elif piece in self._later:
            del self._later[piece]
        else:
            return
        self._facts.append((piece, facts))

    def busy(self, worker: str, piece: int) -> None:
        """The piece is looked at again after a pause."""
        if self._held.get(piece) == worker:
            del self._held[piece]
            self._later[piece] = self.clock() + BUSY_PAUSE

    def returned(self, worker: str) -> None:
        """The worker has ended without having finished what it had: it goes to others, and nobody is blamed."""
        self._take_back(worker)

    def lost(self, worker: str) -> None:
        """The worker is gone."""
        self._losses.update(self._take_back(worker))

    def news(self) -> News:
        """What the one who leads wants to know."""
        self._wake()
        facts, self._facts = tuple(self._facts), []
        unfinished = len(self._todo) + len(self._later) + len(self._held)
        given_up = tuple(sorted(piece for piece, count in self._losses.items() if count >= MOST_LOSSES))
        return News(facts, len(self._todo), unfinished, given_up)

    def _take_back(self, worker: str) -> list[int]:
        mine = sorted(piece for piece, holder in self._held.items() if holder == worker)
        for piece in mine:
            del self._held[piece]
        self._todo.extendleft(reversed(mine))
        return mine

    def _wake(self) -> None:
        now = self.clock()
        for piece in [piece for piece, due in self._later.items() if due <= now]:
            del self._later[piece]
            self._todo.append(piece)
