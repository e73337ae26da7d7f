"""Work done ahead in threads, results in order; a thread that hangs in the operating system does not keep the rest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

GRACE = 1.0
"""Seconds that the threads are given to end what they do when nothing more is wanted of them."""


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
