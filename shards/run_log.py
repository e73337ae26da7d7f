"""What the processes of a run say of themselves while they work: OUT/progress.jsonl, a line every few seconds.

    OUT/progress.jsonl     of process 0        OUT/progress.3.jsonl    of process 3

Each line is a JSON object, see `Line` in shards/status.py. Lines are appended, so that another terminal, or `tail -f`,
sees them at once; a process that is killed may leave half a line, which readers skip and the next process ends. While a
process works it holds a lock of its own in OUT/.lock, which the operating system takes back however it ends. The log is
no part of a run: it may be deleted, it is never read to resume, and where it cannot be written the run goes on.
Trainings, grids and leak checks are logged alike, with what `Work` says.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from shards.locks import Locks

LOG = "progress.jsonl"
PROCESSES = (1 << 30) + 1
"""Lock of process 0, that of process n is n further: no shard has such a number, nor the end of a run."""
MOST_PROCESSES = 1 << 16
SHORT, LONG, EARLY = 10.0, 60.0, 600.0
"""Seconds between lines: short for the first ten minutes, long after: a week is some 10 000 lines."""
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


def log_path(out: Path, process: int) -> Path:
    """Where process `process` writes."""
    return out / (f"progress.{process}.jsonl" if process else LOG)


@dataclass
class Work:
    """How far a piece of work is that is no run of shards: a training, a grid, a leak check."""

    name: str
    """What it is, for people."""
    unit: str
    """The singular of what is counted."""
    total: int
    done: int = 0
    notes: str = ""
    """What else there is to say, such as the loss."""

    def __post_init__(self) -> None:
        self._began, self._first = time.monotonic(), self.done

    def facts(self) -> dict[str, Any]:
        """What a line of its log holds."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        made = self.done - self._first
        left = (self.total - self.done) * seconds / made if made else -1.0
        told = {"seconds": round(seconds, 3), "rate": float(f"{made / seconds:.4g}"), "left": round(left, 1)}
        counts = {"done": self.done, "total": self.total}
        return {"work": self.name, "unit": self.unit, **counts, **told, "notes": self.notes}


class RunLog:
    """The log of one process; a context manager. The block's end writes the last line, with how it ended.

    Args:
        out: folder of the run. locks: of the run, OUT/.lock.
        process: rank of this process; where another is alive under that number, the next free one is taken.
        facts: what a line holds beside the time, the process and its state; called from a thread of the log.
    """

    def __init__(self, out: Path, locks: Locks, process: int, facts: Callable[[], Mapping[str, Any]]) -> None:
        self.out, self.locks, self.process, self.facts = out, locks, process, facts
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> RunLog:
        while not self.locks.take(PROCESSES + self.process) and self.process < MOST_PROCESSES:
            self.process += 1
        self._began = time.monotonic()
        end_line(log_path(self.out, self.process))
        self.write(RUNNING)
        threading.Thread(target=self._beat, name="run-log", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        stopped = kind is not None and not issubclass(kind, Exception)  # Ctrl-C and SIGTERM
        self.write(FINISHED if kind is None else STOPPED if stopped else FAILED)
        self.locks.release(PROCESSES + self.process)

    def write(self, state: str) -> None:
        """Append a line. A disk that is full, or a folder that is gone, is for the shards themselves to report."""
        line = {"time": round(time.time(), 3), "process": self.process, "pid": os.getpid(), "state": state}
        with self._writing, contextlib.suppress(OSError):
            if state == RUNNING and self._ended.is_set():
                return
            append(log_path(self.out, self.process), json.dumps({**line, **self.facts()}) + "\n")

    def _beat(self) -> None:
        while not self._ended.wait(SHORT if time.monotonic() - self._began < EARLY else LONG):
            self.write(RUNNING)


def append(path: Path, text: str) -> None:
    """Add text to a file in one call, through no link. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def end_line(path: Path) -> None:
    """End a line that a killed process left half written."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(handle).st_size
            half = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        finally:
            os.close(handle)
        if half:
            append(path, "\n")
