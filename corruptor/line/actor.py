"""One actor of a run in a cluster: the line, opened once, makes the shards that it is handed (shards/cluster.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from corruptor.line.config import LineConfig
from corruptor.line.processes import ALONE
from corruptor.line.report import close_run
from shards.extensions import search_in
from shards.handout import Pieces
from shards.object_run import Staged
from shards.same_folder import TOKEN, check_token, write_token
from shards.stores import Address
from shards.writer import remove

if TYPE_CHECKING:
    from corruptor.line.run import Line


@dataclass(frozen=True)
class RunPlan:
    """What the others must know of a run."""

    rows: int
    done: int
    """Rows of the shards that are done."""
    token: str
    """Of the folder, see shards/same_folder.py; "" in an object store."""


@dataclass(frozen=True)
class Made:
    """What became of the rows of one shard."""

    rows: Counter[str] = field(default_factory=Counter)
    """By what they became: SAMPLE, UNMADE or a reject's reason."""
    seconds: float = 0.0
    """That the model worked since the shard before."""
    nfe: int = 0
    found: int = 0
    """Rows that another process had made."""


@dataclass
class LineActor:
    """Made anew in each actor.

    Args:
        out: place of the run; a folder is one that all machines see.
        search: folders in which code of the user's own is looked for.
        extend: as of `open_line`.
    """

    config: LineConfig
    out: Path | Address
    search: tuple[Path, ...] = ()
    extend: bool = False

    def open(self) -> None:
        """Load source, policy and model. Raises UserErrors."""
        from corruptor.line.run import open_line

        search_in(self.search)
        out = Staged(self.out) if isinstance(self.out, Address) else self.out
        self.line: Line = open_line(self.config, out, place=ALONE, extend=self.extend)

    def plan(self) -> tuple[RunPlan, list[int]]:
        """How many rows there are, and which shards are to be made."""
        plan, todo = self.line.plan, self.line.writer.todo()
        rows = sum(map(plan.num_rows, range(plan.num_shards)))
        token = write_token(self.out) if isinstance(self.out, Path) else ""
        return RunPlan(rows, rows - sum(map(plan.num_rows, todo)), token), todo

    def work(self, pieces: Pieces, plan: RunPlan) -> None:
        """Make shards until none is left for this actor. Raises UserErrors."""
        from corruptor.line.run import run_shards

        if isinstance(self.out, Path):
            check_token(self.out, plan.token)
        count = Count(pieces)
        run_shards(self.line, self.claims(pieces), count.settled, count.worked, count.closed)

    def claims(self, pieces: Pieces) -> Iterator[int]:
        """The shards that are handed out, locked for this process; what others make or have made is told."""
        writer = self.line.writer
        while (shard := pieces.next()) is not None:
            if not writer.locks.take(shard):
                pieces.busy(shard)
            elif writer.is_done(shard):
                writer.locks.release(shard)
                pieces.done(shard, Made(found=self.line.plan.num_rows(shard)))
            else:
                yield shard

    def finish(self, told: tuple[int, float]) -> str:
        """The end of the run; `told` is how many rows were made and in how many seconds. Raises UserErrors."""
        with self.line.writer.alone():
            words = close_run(self.line, *told)
            if isinstance(self.out, Path):
                remove(self.out / TOKEN)
        return words


class Count:
    """What this actor has done since its last shard, told as each is closed."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.rows: Counter[str] = Counter()
        self.seconds, self.nfe = 0.0, 0
        self._told = (0.0, 0)

    def settled(self, rows: int, outcome: str) -> None:
        """From the writer's thread."""
        self.rows[outcome] += rows

    def worked(self, seconds: float, nfe: int) -> None:
        """From the model's thread: these only grow, so that none is lost between two shards."""
        self.seconds += seconds
        self.nfe += nfe

    def closed(self, shard: int) -> None:
        """From the writer's thread."""
        seconds, nfe = self.seconds, self.nfe
        self.pieces.done(shard, Made(self.rows, seconds - self._told[0], nfe - self._told[1]))
        self._told, self.rows = (seconds, nfe), Counter()
