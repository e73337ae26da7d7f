"""A bounded hand-over between two threads in which either side may fail and the other hears of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """At most `size` things wait. `put` blocks while it is full, iteration ends after `close`.

    After `fail` both sides raise the error at their next call, at once: what waits is not worth finishing.
    """

    def __init__(self, size: int) -> None:
        self._size, self._waiting = size, deque[T]()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, thing: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._size or self._error is not None)
            self._raise()
            self._waiting.append(thing)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Stop both sides; the first error stays."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error of the other side, if there is one."""
        with self._changed:
            self._raise()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed or self._error is not None)
                self._raise()
                if not self._waiting:
                    return
                thing = self._waiting.popleft()
                self._changed.notify_all()
            yield thing

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
