"""Work done ahead in threads, results in order; a thread that hangs in the operating system does not keep the rest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

GRACE = 1.0
"""Seconds that the threads are given to end what they do when nothing more is wanted of them."""
IN_FLIGHT = 3 << 27
"""Bytes that what is done ahead may take together, 384 MiB; one that takes more is alone."""


@dataclass(frozen=True)
class Memory(Generic[A, R]):
    """What work takes of memory: `cost(argument)` bytes while it is done, `kept(result)` until its result is taken."""

    cost: Callable[[A], int]
    kept: Callable[[R], int]


class Room:
    """IN_FLIGHT bytes, entered in the order of numbers, so that who is waited for is never behind who waits."""

    def __init__(self) -> None:
        self.held, self.turn, self.is_open = 0, 0, True
        self.changed = threading.Condition()

    def enter(self, number: int, size: int) -> None:
        """Wait for one's turn and for room."""
        with self.changed:
            self.changed.wait_for(lambda: not self.is_open or (self.turn == number and self.fits(size)))
            self.turn += 1
            self.held += size
            self.changed.notify_all()

    def fits(self, size: int) -> bool:
        return not self.held or self.held + size <= IN_FLIGHT

    def leave(self, size: int) -> None:
        with self.changed:
            self.held -= size
            self.changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self.changed:
            self.is_open = False
            self.changed.notify_all()


def bounded(work: Callable[[A], R], memory: Memory[A, R], room: Room) -> Callable[[tuple[int, A]], R]:
    """The work on numbered arguments, each when there is room for it."""

    def done(numbered: tuple[int, A]) -> R:
        number, argument = numbered
        cost = left = 0
        try:
            cost = memory.cost(argument)
        finally:
            room.enter(number, cost)  # also where that failed: the others wait for this one
        try:
            result = work(argument)
            left = memory.kept(result)
            return result
        finally:
            room.leave(cost - left)

    return done


def ahead_within(
    work: Callable[[A], R],
    arguments: Iterable[A],
    num_threads: int,
    num_waiting: int,
    name: str,
    memory: Memory[A, R],
) -> Generator[tuple[A, R], None, None]:
    """As `ahead`, with no more than IN_FLIGHT bytes in use at a time, by what `memory` says."""
    room = Room()
    parts = ahead(bounded(work, memory, room), enumerate(arguments), num_threads, num_waiting, name)
    try:
        for (_, argument), result in parts:
            room.leave(memory.kept(result))
            yield argument, result
    finally:
        room.close()
        parts.close()


def ahead(
    work: Callable[[A], R], arguments: Iterable[A], num_threads: int, num_waiting: int, name: str
) -> Generator[tuple[A, R], None, None]:
    """(argument, work(argument)) in order, with up to `num_waiting` under way.

    `arguments` is asked for the next one no sooner than there is room for it. What `work` raises is raised here, at its
    place. The threads are daemons, unlike those of `concurrent.futures`: Python ends without waiting for them, so that
    Ctrl-C works while a file system hangs.
    """
    tasks: SimpleQueue[tuple[A, Future[R]] | None] = SimpleQueue()
    waiting: deque[tuple[A, Future[R]]] = deque()
    names = [f"{name}_{number}" for number in range(num_threads)]
    threads = [threading.Thread(target=_serve, args=(work, tasks), name=one, daemon=True) for one in names]
    try:
        for thread in threads:
            thread.start()
        for argument in arguments:
            if len(waiting) >= num_waiting:
                first, future = waiting.popleft()
                yield first, future.result()
            waiting.append((argument, Future()))
            tasks.put(waiting[-1])
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in threads:
            tasks.put(None)
        end = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def _serve(work: Callable[[A], R], tasks: SimpleQueue[tuple[A, Future[R]] | None]) -> None:
    while (task := tasks.get()) is not None:
        argument, future = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(argument))
        except BaseException as error:
            future.set_exception(error)
