"""What a run counts while it works, for its bar and for its log (shards/run_log.py)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from corruptor.line.plan import Plan
from corruptor.line.processes import Place
from shards.progress import GOES_ON, Progress
from shards.run_log import RunLog
from shards.writer import RunWriter

KEPT = f"complete shards are kept, and {GOES_ON}"
SAMPLE, UNMADE = "sample", ""
"""What became of a row, else a reject's reason: a sample, or nothing, since its source was rejected under an earlier
variant."""


@dataclass
class Tally:
    """Counts the rows of a run of `total`, of which `initial` were there before.

    `settled` is called from the writer's thread, `worked` from that of the model, `facts` from that of the log.
    """

    total: int
    initial: int = 0
    quiet: bool = False
    workers: int = 1
    """Models that work at the same time."""
    rows: int = 0
    """That were settled."""
    samples: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    nfe: int = 0
    worked_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._began, self._lock = time.monotonic(), threading.Lock()
        self.notes: dict[str, object] = {}
        """What else the bar shows."""
        self.shown = Progress(self.total, "image", initial=self.initial, quiet=self.quiet, resumes=KEPT)
        """Rate and time left; shown by the first of several processes."""

    def settled(self, rows: int, outcome: str) -> None:
        """So many more rows have become what `outcome` says: SAMPLE, UNMADE or a reject's reason."""
        with self._lock:
            self.rows += rows
            if outcome == SAMPLE:
                self.samples += rows
            elif outcome != UNMADE:
                self.rejects[outcome] += rows
            rejected = ", ".join(f"{reason} {count}" for reason, count in sorted(self.rejects.items()))
        notes = {"rejected": rejected} if rejected else {}
        self.shown.note(**{"yield": f"{self.samples / self.rows:.0%}"}, **notes, busy=f"{self.busy:.0%}", **self.notes)
        self.shown.update(rows)

    def worked(self, seconds: float, nfe: int) -> None:
        """The model has worked so long, and predicted so much noise."""
        self.worked_seconds += seconds
        self.nfe += nfe

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return max(time.monotonic() - self._began, 1e-9)

    @property
    def busy(self) -> float:
        """Share 0..1 of the time in which the model worked."""
        return min(1.0, self.worked_seconds / self.seconds / self.workers)

    def facts(self) -> dict[str, Any]:
        """What a line of the log holds (shards.status.Line)."""
        seconds = self.seconds
        made = self.shown.n - self.shown.initial
        left = (self.shown.total - self.shown.n) * seconds / made if made else -1.0
        with self._lock:
            return {
                "seconds": round(seconds, 3),
                "rows": self.rows,
                "samples": self.samples,
                "rejects": dict(sorted(self.rejects.items())),
                "nfe": self.nfe,
                "busy": round(self.busy, 4),
                "rate": round(self.rows / seconds, 4),
                "yield_share": round(self.samples / self.rows, 4) if self.rows else 0.0,
                "done": self.shown.n,
                "total": self.shown.total,
                "left": round(left, 1),
            }


class Meter(Tally):
    """The tally of one process of a run; the bar shows what all processes have made."""

    def __init__(self, plan: Plan, writer: RunWriter, place: Place) -> None:
        self.plan, self.writer, self.place = plan, writer, place
        total = sum(map(plan.num_rows, range(plan.num_shards)))
        super().__init__(total, self._done(), quiet=place.rank > 0)

    def log(self) -> RunLog:
        """The log of this process, not begun yet."""
        return RunLog(self.writer.out, self.writer.locks, self.place.rank, self.facts)

    def watch(self, claims: Iterator[int]) -> Iterator[int]:
        """Hand on claims; the progress learns of what other processes have done since the last."""
        for shard in claims:
            self.shown.update(max(0, self._done() - self.shown.n))
            yield shard

    def _done(self) -> int:
        """Rows of the shards that are done."""
        missing = set(self.writer.todo())
        return sum(self.plan.num_rows(shard) for shard in range(self.plan.num_shards) if shard not in missing)
