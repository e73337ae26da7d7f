"""Work done by this process and others beside it, its results in order: nobody can tell by them how many there were.

The others take a moment to begin, in which this process is at work already; one that is lost costs what it had in hand,
which is done again here. They end with their connection: also where this process is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from shards.pool import single_threaded

A = TypeVar("A")
R = TypeVar("R")
IN_HAND = 3
"""Pieces that another process has at a time, so that it does not wait for this one."""
AHEAD = 2 * IN_HAND
"""Pieces under way or done and not yet asked for, for each process."""
GRACE = 5.0
"""Seconds for a process to end by itself."""


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Piece(Generic[A, R]):
    """One argument on its way to a result."""

    argument: A
    holder: Other[A, R] | None = None
    """The process that has it; None: this one."""
    result: R | None = None
    error: Exception | None = None
    is_done: bool = False

    def do(self, work: Callable[[A], R]) -> None:
        """Here and now."""
        try:
            self.result = work(self.argument)
        except Exception as error:
            self.error = error
        self.is_done = True

    def taken(self) -> R:
        """The result, or what was raised in its place."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class Other(Generic[A, R]):
    """Another process, as this one has it.

    Args:
        inherited: connections of this process to those that it has already.
    """

    def __init__(self, work: Callable[[A], R], inherited: list[Connection]) -> None:
        # Where there is no thread that may hold a lock, a copy of this process is at work at once.
        forks = sys.platform == "linux" and threading.active_count() == 1
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self.work = work
        self.in_hand: deque[Piece[A, R]] = deque()
        self.is_ready = False
        self.is_lost = False
        self.connection, theirs = context.Pipe()
        # Not with the work: `start` waits for ever where much is to be read by a process that ends at its beginning.
        kept = [*inherited, self.connection] if forks else []
        self.process = context.Process(target=serve, args=(theirs, kept), daemon=True)
        with single_threaded():
            self.process.start()
        theirs.close()

    def give(self, piece: Piece[A, R]) -> None:
        """Let it do a piece."""
        piece.holder = self
        self.in_hand.append(piece)
        try:
            self.connection.send(piece.argument)
        except OSError:
            self.lose()

    def hear(self, wait: bool = False) -> None:
        """Take what it has answered; wait: at least one answer, or that it is lost."""
        try:
            while not self.is_lost and (wait or self.connection.poll()):
                answer = self.connection.recv()
                wait = False
                if not self.is_ready:
                    self.connection.send(self.work)
                    self.is_ready = True
                    continue
                piece = self.in_hand.popleft()
                piece.result, piece.error = answer
                piece.is_done = True
        except (EOFError, OSError):
            self.lose()

    def lose(self) -> None:
        """It is gone; what it had is left to be done."""
        self.is_lost = True
        for piece in self.in_hand:
            piece.holder = None
        self.in_hand.clear()

    def end(self) -> None:
        """Wait until it has ended, now that its connection is closed."""
        self.process.join(GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def serve(connection: Connection, kept: list[Connection]) -> None:
    """In the other process: do what comes, first the work and then its arguments, until nothing does.

    kept: ends of the first process that a copy of it has too; while they are open here its end is not seen.
    """
    for one in kept:
        one.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the first process ends the others
    with suppress(EOFError, OSError):
        connection.send(None)
        work = connection.recv()
        while True:
            argument = connection.recv()
            connection.send_bytes(answered(work, argument))


def answered(work: Callable[[Any], Any], argument: Any) -> bytes:
    """(result, None) or (None, what was raised), pickled."""
    try:
        return pickle.dumps((work(argument), None))
    except Exception as error:
        try:
            return pickle.dumps((None, error))
        except Exception:
            return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))


class SideBySide(Generic[A, R]):
    """So many processes, of which this is one, for one kind of work.

    `work`, its arguments and its results are pickled where there are others.
    """

    def __init__(self, work: Callable[[A], R], processes: int) -> None:
        self.work = work
        self.others: list[Other[A, R]] = []
        try:
            for _ in range(processes - 1):
                self.others.append(Other(work, [other.connection for other in self.others]))
        except OSError:  # no room for as many: fewer do it too
            pass
        except BaseException:
            self.end()
            raise
        self.pieces: deque[Piece[A, R]] = deque()
        self.source: Iterator[A] = iter(())
        self.most = AHEAD * (1 + len(self.others))
        self.has_more = True

    def __enter__(self) -> SideBySide[A, R]:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Let the others end."""
        for other in self.others:
            other.connection.close()
        for other in self.others:
            other.end()

    def next(self) -> Piece[A, R] | None:
        """A piece that nobody has; None where there is none, or as many as may be are under way."""
        for piece in self.pieces:
            if piece.holder is None and not piece.is_done:
                return piece
        if not self.has_more or len(self.pieces) >= self.most:
            return None
        for argument in self.source:
            self.pieces.append(Piece(argument))
            return self.pieces[-1]
        self.has_more = False
        return None

    def hand_out(self) -> None:
        """Hear the others and keep them busy."""
        for other in self.others:
            other.hear()
            while other.is_ready and not other.is_lost and len(other.in_hand) < IN_HAND:
                if (piece := self.next()) is None:
                    return
                other.give(piece)

    def results(self, arguments: Iterable[A]) -> Generator[R, None, None]:
        """work(argument) of each argument, in order; once. Some AHEAD pieces a process are under way at most.

        What `work` raises is raised here, at its place.
        """
        self.source = iter(arguments)
        while self.has_more or self.pieces:
            self.hand_out()
            while self.pieces and self.pieces[0].is_done:
                yield self.pieces.popleft().taken()
            if (mine := self.next()) is not None:
                mine.do(self.work)
            elif self.pieces and (holder := self.pieces[0].holder) is not None:
                holder.hear(wait=True)
