"""What a training, an ablation or a leak check is doing, and what is at work in the folders below it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.claims import LOCK
from shards.locks import is_held
from shards.progress import clock
from shards.run_log import FINISHED, RUNNING
from shards.status import LOGS, Line, judged, last_lines

RESULTS = {("train.json",): "training", ("leakcheck.json",): "leak check", ("grid.json", "report.md"): "ablation"}
"""Files of which the last is written last -> what has ended with it."""
DEPTH, MOST = 4, 5000
"""Folders that are looked into: so deep, and so many."""
GOES_ON = "not running; the same command again goes on"


@dataclass(frozen=True)
class WorkStatus:
    """A piece of work as it is now."""

    out: str
    work: str
    state: str
    """finished, running, or not running."""
    processes: tuple[Line, ...]
    """The last line of each process that said something."""
    below: tuple[tuple[str, Line], ...] = ()
    """(folder, last line) of what is at work in folders below."""

    def words(self, now: float) -> list[str]:
        """Lines for people."""
        lines = [f"{self.out}: {self.work}, {self.state}"]
        lines += [line_words(f"process {one.process} (pid {one.pid})", one, now) for one in self.processes]
        return lines + [line_words(f"  {folder}", one, now) for folder, one in self.below]


def line_words(who: str, one: Line, now: float) -> str:
    """A line about one process."""
    unit = one.unit or "image"
    told = f"{who}: {one.state}, {one.done} of {one.total} {unit}s"
    if one.rate > 0 and one.state == RUNNING:
        told += f", {one.rate:.3g} {unit}s/s" if one.rate >= 0.1 else f", {clock(1 / one.rate)} each"
        told += f", about {clock(one.left)} left" if one.left >= 0 else ""
    told += f", {one.notes}" if one.notes else ""
    return f"{told}; said {clock(max(0.0, now - one.time))} ago"


def work_status_of(out: Path, now: float | None = None) -> WorkStatus | None:
    """Look at a piece of work; nothing is locked, written or waited for. None where there is none in the folder."""
    if not out.is_dir():
        return None
    moment = time.time() if now is None else now
    lines = tuple(judged(out, line, moment) for line in last_lines(out))
    ended = [name for files, name in RESULTS.items() if all((out / file).is_file() for file in files)]
    if not lines and not ended:
        return None
    work = next((one.work for one in lines if one.work), ended[0] if ended else "work")
    # A log ends before the result is written; the folder's own lock is held until then.
    running = any(one.state == RUNNING for one in lines) or bool(is_held(out / LOCK, 0))
    state = RUNNING if running else FINISHED if ended else GOES_ON
    return WorkStatus(str(out), work, state, lines, tuple(at_work_below(out, moment)))


def at_work_below(out: Path, now: float) -> Iterator[tuple[str, Line]]:
    """What is running in folders below, in order of their names."""
    for folder in folders_below(out):
        for line in last_lines(folder):
            found = judged(folder, line, now)
            if found.state == RUNNING:
                yield str(folder.relative_to(out)), found


def folders_below(out: Path) -> Iterator[Path]:
    """Folders with logs, no link followed."""
    for seen, (where, names, files) in enumerate(os.walk(out)):
        folder = Path(where)
        names[:] = sorted(names) if seen < MOST and len(folder.relative_to(out).parts) < DEPTH else []
        if folder != out and any(LOGS.fullmatch(name) for name in files):
            yield folder
