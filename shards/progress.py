"""How far a long piece of work is: a bar on a terminal, a plain line every 30 seconds in a log, a word when stopped."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

T = TypeVar("T")

EVERY = 30.0
"""Seconds between lines where standard error is no terminal."""
SHORTEST = 0.01
"""Seconds that the thread which sees to it sleeps at least."""
GOES_ON = "the same command again resumes from there"


class Progress:
    """Counts what is done of `total`; a context manager. With several threads, call `update` from one or under a lock.

    Where standard error is no terminal, a thread of its own sees to it that a line comes every 30 seconds though
    nothing has been finished meanwhile, until `close`.

    Args:
        total: how many there are; 0 if nobody knows.
        unit: the singular of what is counted; "B" for bytes.
        text: what is being done; "" for nothing to say.
        initial: how many were done before.
        quiet: show nothing, such as in the second of several processes.
        delay: seconds before a bar appears, for what is mostly quick.
        leave: whether the full bar stays on the terminal.
        resumes: what to say of the work that is done when it is stopped, such as GOES_ON.
    """

    last: Progress | None = None
    """The one that was begun last, for the closing word of a process that is stopped."""

    def __init__(
        self,
        total: int,
        unit: str,
        text: str = "",
        *,
        initial: int = 0,
        quiet: bool = False,
        delay: float = 0.0,
        leave: bool = True,
        resumes: str = "",
    ) -> None:
        from tqdm import tqdm

        self.total, self.unit, self.text, self.initial, self.resumes = total, unit, text, initial, resumes
        self.n, self.rejected, self.notes = initial, 0, ""
        scale: dict[str, Any] = {"unit_scale": True} if unit == "B" else {}
        self._bar = tqdm(
            **scale,
            total=total or None,
            unit=unit,
            desc=text or None,
            initial=initial,
            delay=delay,
            leave=leave,
            smoothing=0.1,
            dynamic_ncols=True,
            disable=True if quiet else None,  # None: where standard error is no terminal
        )
        self._lines = bool(self._bar.disable) and not quiet
        self._began = self._told = time.monotonic()
        self._said = -1  # what was done when a line was last written
        self._lock, self._ended = threading.Lock(), threading.Event()
        if self._lines:
            arguments = (weakref.ref(self), self._ended)
            threading.Thread(target=_beat, args=arguments, name="progress", daemon=True).start()
        Progress.last = self

    def update(self, count: int = 1, rejected: int = 0) -> None:
        """`count` more are done, `rejected` of them as rejects."""
        self.n += count
        if rejected:
            self.rejected += rejected
            self.note(rejected=self.rejected)
        self._bar.update(count)
        if self._lines:
            self.tell_if_due()

    def note(self, **values: object) -> None:
        """What else there is to say, such as the loss."""
        self.notes = ", ".join(f"{name} {value}" for name, value in values.items())
        self._bar.set_postfix_str(self.notes, refresh=False)

    def close(self) -> None:
        self._bar.close()
        self._ended.set()
        with self._lock:
            if self._lines and self._said >= 0 and self.n >= self.total and self.n > self._said:
                self._tell()
            self._lines = False

    def tell_if_due(self) -> float:
        """Write a line where 30 seconds have passed since the last; returns the seconds until the next may be due."""
        with self._lock:
            if self._lines and time.monotonic() - self._told >= EVERY:
                self._tell()
            return self._told + EVERY - time.monotonic()

    def summary(self) -> str:
        """ "images: 640 of 2560 images (25%), 3.40 images/s, 9 min 25 s left, rejected 12"."""
        seconds = time.monotonic() - self._began
        rate = (self.n - self.initial) / max(seconds, 1e-9)
        of = f" of {self._amount(self.total)} ({self.n / self.total:.0%})" if self.total else ""
        parts = [f"{self._amount(self.n) if not of else self._number(self.n)}{of}"]
        if rate > 0:
            parts.append(f"{rate / 1e6:.1f} MB/s" if self.unit == "B" else f"{rate:.3g} {self.unit}s/s")
            left = max(0, self.total - self.n) / rate
            parts += [f"{clock(left)} left"] if left else [f"{clock(seconds)} in all"] if self.total else []
        return (f"{self.text}: " if self.text else "") + ", ".join([*parts, *filter(None, [self.notes])])

    def _number(self, count: int) -> str:
        return f"{count / 1e9:.1f}" if self.unit == "B" else str(count)

    def _amount(self, count: int) -> str:
        return f"{count / 1e9:.1f} GB" if self.unit == "B" else f"{count} {self.unit}s"

    def _tell(self) -> None:
        print(self.summary(), file=sys.stderr, flush=True)
        self._told, self._said = time.monotonic(), self.n

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _beat(shown: weakref.ref[Progress], ended: threading.Event) -> None:
    """Write the lines of a Progress that are due, until it has ended or nobody has it any more."""
    wait = EVERY
    while not ended.wait(wait):
        one = shown()
        if one is None:
            return
        wait = max(one.tell_if_due(), SHORTEST)
        del one  # it is not to live on through this thread


def progress(
    items: Iterable[T], unit: str, text: str = "", total: int = 0, leave: bool = True, resumes: str = ""
) -> Iterator[T]:
    """The items, with progress shown as they are used up."""
    count = total or (len(items) if isinstance(items, Sized) else 0)
    with Progress(count, unit, text, leave=leave, resumes=resumes) as shown:
        for item in items:
            yield item
            shown.update()


def stopped_at() -> str:
    """What is done of the work begun last, and whether the same command resumes it; "" where nothing is left of it."""
    shown = Progress.last
    if shown is None or (shown.total and shown.n >= shown.total):
        return ""
    of = f" of {shown.total}" if shown.total else ""
    return f" at {shown.n}{of} {shown.unit}s" + (f"; {shown.resumes}" if shown.resumes else "")


def clock(seconds: float) -> str:
    """ "1 h 02 min", "3 min 05 s", "7.4 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
