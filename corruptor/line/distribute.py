"""`blemish shards --engine ray`: a run made by the actors of a Ray cluster, watched from here.

The driver loads no model and reads no picture; it hires actors, shows how far they are and keeps the run's log.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from corruptor.line.actor import LineActor, Made, RunPlan
from corruptor.line.config import LineConfig
from corruptor.line.meter import Tally
from shards.cluster import Demand
from shards.crew import run_crew
from shards.extensions import searched
from shards.files import check_local
from shards.locks import Locks
from shards.run_log import RunLog
from shards.store_claim import StoreClaim
from shards.stores import Address, ObjectStore
from shards.writer import LOCKS, MANIFEST


def distribute(config: LineConfig, out: Path | Address, demand: Demand, extend: bool = False) -> str:
    """Make, resume or extend a run on a cluster; returns its closing words. Raises UserErrors."""
    claim: StoreClaim | None = None
    with ExitStack() as stack:
        if isinstance(out, Path):
            check_local(out)
            out = out.absolute()
        else:
            claim = stack.enter_context(StoreClaim(ObjectStore(out)))
        watcher = Watcher(out, stack, claim)
        words: str = run_crew(partial(LineActor, config, out, searched(), extend), demand, watcher)
    lost = f"\n{watcher.lost} actors were lost on the way; others made their shards" if watcher.lost else ""
    return words + lost


class Watcher:
    """Shows and logs what the actors have done. Its bar and its log end with `stack`."""

    def __init__(self, out: Path | Address, stack: ExitStack, claim: StoreClaim | None = None) -> None:
        self.out, self.stack, self.claim = out, stack, claim
        self.tally: Tally | None = None
        self.lost = 0

    def planned(self, plan: RunPlan) -> None:
        """The run is known."""
        tally = self.tally = Tally(plan.rows, plan.done)
        self.stack.enter_context(tally.shown)
        if isinstance(self.out, Path) and (self.out / MANIFEST).is_file():  # else this machine does not see the folder
            self.stack.enter_context(RunLog(self.out, Locks(self.out / LOCKS), 0, tally.facts))

    def finished(self, made: Made) -> None:
        """A shard is done."""
        assert self.tally is not None
        self.tally.shown.update(made.found)
        self.tally.worked(made.seconds, made.nfe)
        for outcome, rows in made.rows.items():
            self.tally.settled(rows, outcome)

    def crew(self, actors: int, lost: int) -> None:
        """Who works. Raises ResumeError where another command has taken over the run."""
        if self.claim is not None:
            self.claim.check()
        self.lost = lost
        if self.tally is not None:
            self.tally.workers = max(actors, 1)
            self.tally.notes = {"actors": actors, **({"lost": lost} if lost else {})}

    def totals(self) -> tuple[int, float]:
        """Rows made and seconds that it took."""
        assert self.tally is not None
        return self.tally.rows, self.tally.seconds
