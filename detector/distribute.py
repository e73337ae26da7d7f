"""`blemish detect predict --engine ray`: pictures looked at by the actors of a Ray cluster.

A piece is PART batches of neighbouring pictures, so that each batch is that of a single process; what was rejected, or
was there before, shifts batches, and with them a map by one step of rounding at most.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detector.inputs import open_inputs
from detector.maps import Row
from detector.predict import Looking, Options, Outcome, identify, open_detector, with_threshold, write_all
from shards.cluster import Demand
from shards.crew import run_crew
from shards.extensions import search_in, searched
from shards.handout import Pieces
from shards.progress import GOES_ON, Progress
from shards.same_folder import TOKEN, check_token, write_token
from shards.source import Reject
from shards.writer import remove

PART = 8
"""Batches a piece."""


@dataclass(frozen=True)
class Seen:
    """What came of one piece, in the order of the input."""

    piece: int
    rows: list[Row]
    rejects: list[Reject]


@dataclass
class LookActor:
    """Made anew in each actor; arguments as of `predict`, with the threshold chosen."""

    checkpoint: Path
    where: str
    out: Path
    options: Options
    config: str | None
    search: tuple[Path, ...] = ()

    def open(self) -> None:
        """Load the detector. Raises UserErrors."""
        search_in(self.search)
        self.inputs = open_inputs(self.where)
        self.detector = open_detector(self.checkpoint, self.options, self.config)

    def plan(self) -> tuple[tuple[int, str], list[int]]:
        """((pictures, token of the folder), all pieces): what is there already is found picture by picture."""
        count = len(self.inputs)
        return (count, write_token(self.out)), list(range(-(-count // self.size)))

    @property
    def size(self) -> int:
        """Pictures a piece."""
        return PART * self.options.batch

    def work(self, pieces: Pieces, plan: tuple[int, str]) -> None:
        """Look at pieces until there are none. Raises UserErrors."""
        check_token(self.out, plan[1])
        while (piece := pieces.next()) is not None:
            within = range(piece * self.size, min((piece + 1) * self.size, plan[0]))
            rows, rejects = Looking(self.detector, self.inputs, self.out, self.options, within).run()
            pieces.done(piece, Seen(piece, rows, rejects))

    def finish(self, told: None) -> None:
        """The table is the driver's to write."""
        remove(self.out / TOKEN)


class Watcher:
    """Keeps what was seen, and shows how far it is. Its bar ends with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.seen: list[Seen] = []
        self.shown: Progress | None = None

    def planned(self, plan: tuple[int, str]) -> None:
        self.shown = self.stack.enter_context(Progress(plan[0], "picture", resumes=GOES_ON))

    def finished(self, seen: Seen) -> None:
        assert self.shown is not None
        self.seen.append(seen)
        self.shown.update(len(seen.rows) + len(seen.rejects), len(seen.rejects))

    def crew(self, actors: int, lost: int) -> None:
        if self.shown is not None:
            self.shown.note(actors=actors, **({"lost": lost} if lost else {}))

    def totals(self) -> None:
        pass

    def results(self) -> tuple[list[Row], list[Reject]]:
        """Rows and rejects in the order of the input."""
        ordered = sorted(self.seen, key=lambda seen: seen.piece)
        return [row for seen in ordered for row in seen.rows], [one for seen in ordered for one in seen.rejects]


def predict_on(
    demand: Demand, checkpoint: Path, where: str, out: Path, options: Options, config: str | None = None
) -> Outcome:
    """As `predict`, on a cluster whose machines see checkpoint, input and output. Raises ClusterError as well."""
    open_inputs(where)  # what is not there is said before a cluster is asked
    if options.max_fpr is not None:
        options = with_threshold(open_detector(checkpoint, options, config), options)
    out = out.absolute()

    def look() -> tuple[list[Row], list[Reject]]:
        with ExitStack() as stack:
            watcher = Watcher(stack)
            run_crew(partial(LookActor, checkpoint, where, out, options, config, searched()), demand, watcher)
        return watcher.results()

    return write_all(identify(checkpoint, options.rejects), where, out, options, look)
