"""`blemish status OUT`: what a run is doing, read from its files and locks alone, so that it is never disturbed.

Trainings, ablations and leak checks: shards/work_status.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.build import BuildError, build, plain
from shards.errors import MissingInputError, ResumeError, SchemaError, UserError
from shards.guard.json_text import parse_object, read_object
from shards.guard.plain_file import open_plain
from shards.locks import is_held
from shards.marks import Stats, total
from shards.progress import clock
from shards.run_log import LONG, PROCESSES, RUNNING
from shards.store_run import place
from shards.writer import FOLDER, LOCKS, MANIFEST, STATS, read_manifest

if TYPE_CHECKING:
    from shards.work_status import WorkStatus

LOGS = re.compile(r"progress(?:\.(\d{1,5}))?\.jsonl")
TAIL = 1 << 16
"""Bytes at a log's end that are read: its last line is there."""
SILENT = 3 * LONG
"""Seconds without a line after which a process counts as dead where locks cannot tell."""
DEAD = "dead"


@dataclass(frozen=True)
class Line:
    """One line of a process's log. Rows are samples and rejects; seconds count from the begin of the process."""

    time: float
    """Seconds since 1970."""
    process: int
    pid: int
    state: str
    """running, finished, stopped (by Ctrl-C or SIGTERM) or failed."""
    seconds: float = 0.0
    rows: int = 0
    """That this process has settled."""
    samples: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    """By reason."""
    nfe: int = 0
    """Noise predictions of single pictures."""
    busy: float = 0.0
    """Share 0..1 of the seconds in which the model worked, in place of waiting for pictures or for the disk."""
    rate: float = 0.0
    """Rows of this process a second."""
    yield_share: float = 0.0
    """Yield: samples of the rows, 0..1."""
    done: int = 0
    """Rows of the whole run that are settled, as far as this process knows."""
    total: int = 0
    left: float = -1.0
    """Seconds until the run is done at the rate of all; -1: not known yet."""
    work: str = ""
    """What is worked at, where it is no run of shards; then `rate` is `done` a second of this process."""
    unit: str = ""
    """The singular of what is counted, where it is no run of shards."""
    notes: str = ""


@dataclass(frozen=True)
class Status:
    """A run as it is now."""

    out: str
    state: str
    """finished, running, or not running."""
    shards_done: int
    shards: int
    totals: dict[str, Any]
    """Of the shards that are done: samples, artifact, clean, bytes, rejects by reason."""
    processes: tuple[Line, ...]
    """The last line of each; `state` is "dead" where it was never said how it ended."""

    def words(self, now: float) -> list[str]:
        """Lines for people."""
        totals = self.totals
        share = f" ({self.shards_done / self.shards:.0%})" if self.shards else ""
        lines = [f"{self.out}: {self.state}, {self.shards_done} of {self.shards} shards done{share}"]
        rejects = ", ".join(f"{reason} {count}" for reason, count in totals["rejects"].items()) or "none"
        lines.append(f"in them {totals['samples']} samples, {totals['artifact']} with artifacts; rejected: {rejects}")
        running = [one for one in self.processes if one.state == RUNNING]
        if running and running[0].total:
            newest = max(running, key=lambda one: one.time)
            rate = sum(one.rate for one in running)
            left = f", about {clock(newest.left)} left" if newest.left >= 0 else ""
            lines.append(f"{newest.done} of {newest.total} images, {rate:.3g} images/s{left}")
        return lines + [process_words(one, now) for one in self.processes]


def process_words(one: Line, now: float) -> str:
    """A line about one process."""
    told = f"process {one.process} (pid {one.pid}): {one.state}, {one.rows} images"
    if one.rows:
        rejects = ", ".join(f"{reason} {count}" for reason, count in one.rejects.items()) or "none"
        told += f", {one.rate:.3g} images/s, yield {one.yield_share:.0%}, rejected: {rejects}"
        told += f", {one.nfe} noise predictions, model busy {one.busy:.0%}"
    return f"{told}; said {clock(max(0.0, now - one.time))} ago"


def status_of(out: Path, now: float | None = None) -> Status:
    """Look at a run; nothing is locked, written or waited for.

    Raises MissingInputError where OUT holds no run, ResumeError where its manifest is damaged.
    """
    if not (out / MANIFEST).is_file():
        raise MissingInputError(
            f"{out} holds no run of shards ({MANIFEST} is not there), and no training, ablation or leak check that "
            f"was begun; name the folder of a run"
        )
    manifest = read_manifest(out / MANIFEST)
    shards = manifest.get("num_shards")
    if type(shards) is not int or shards < 0:
        raise ResumeError(f"{out / MANIFEST} is damaged (num_shards is {str(shards)[:40]!r}); it is no run of ours")
    moment = time.time() if now is None else now
    processes = tuple(judged(out, line, moment) for line in last_lines(out))
    marks = read_marks(out)
    finished = "totals" in manifest
    running = any(one.state == RUNNING for one in processes)
    state = "finished" if finished else RUNNING if running else "not running; the same command again goes on"
    return Status(str(out), state, len(marks), shards, total(marks), processes)


def read_marks(out: Path) -> list[Stats]:
    """The done marks that are whole; their shards' files are not looked at."""
    found = []
    for path in sorted((out / FOLDER).glob(f"*.{STATS}")):
        try:
            found.append(build(Stats, read_object(path)))
        except (UserError, BuildError, OSError):  # being replaced at this moment, or damaged: the run makes it anew
            continue
    return found


def last_lines(out: Path) -> list[Line]:
    """The last whole line of every process, by number."""
    found: dict[int, Line] = {}
    for name in sorted(os.listdir(out)):
        match = LOGS.fullmatch(name)
        line = last_line(out / name) if match else None
        if match and line is not None and line.process == int(match[1] or 0):
            found[line.process] = line
    return [found[process] for process in sorted(found)]


def last_line(path: Path) -> Line | None:
    """The last line of a log that is whole, None where there is none."""
    try:
        with open_plain(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read(TAIL).split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return build(Line, parse_object(line, path.name))
        except (SchemaError, BuildError):
            continue
    return None


def judged(out: Path, line: Line, now: float) -> Line:
    """The line, with the state `dead` where its process has gone without a word."""
    if line.state != RUNNING:
        return line
    held = is_held(out / LOCKS, PROCESSES + line.process)
    alive = now - line.time < SILENT if held is None else held
    return line if alive else build(Line, {**plain(line), "state": DEAD})


def add_status(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a command line."""
    status = verbs.add_parser(
        "status",
        help="how far a run is and which of its processes work; exit 0 running or finished, 1 neither",
        epilog="blemish status out/miniworld",
    )
    status.add_argument(
        "where",
        metavar="DIR",
        help="folder of a run, a training, an ablation or a leak check; or a run in a store, s3://bucket/run",
    )
    status.add_argument("--json", action="store_true", help="one JSON object instead of words")
    status.set_defaults(run=run_status)


def run_status(args: argparse.Namespace) -> int:
    """Print what is known."""
    from shards.store_status import stored_status
    from shards.work_status import work_status_of

    out = place(args.where)
    found: Status | WorkStatus
    if isinstance(out, Path):
        found = (None if (out / MANIFEST).is_file() else work_status_of(out)) or status_of(out)
    else:
        found = stored_status(out)
    lines: Sequence[str] = [json.dumps(plain(found))] if args.json else found.words(time.time())
    print("\n".join(lines))
    return 0 if found.state in (RUNNING, "finished") else 1
