"""Small work for a cluster; apart from the tests, so that actors can import it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shards.errors import OutputError
from shards.handout import Pieces


@dataclass
class Marks:
    """Writes a file a piece: `begun` once an attempt, `done` once."""

    folder: Path
    count: int
    seconds: float = 0.05
    deadly: int = -1
    """The piece that ends its process."""
    wrong: int = -1
    """The piece that the user must mend."""
    fails: str = ""
    """The method that raises what no user can mend."""
    together: int = 1
    """Actors that must have been there before the last piece is finished."""

    def open(self) -> None:
        (self.folder / f"opened.{secrets.token_hex(4)}").touch()
        if self.fails == "open":
            raise RuntimeError("a card fell off the bus")

    def plan(self) -> tuple[int, list[int]]:
        done = {int(path.stem) for path in self.folder.glob("*.done")}
        return self.count, [piece for piece in range(self.count) if piece not in done]

    def work(self, pieces: Pieces, plan: int) -> None:
        assert plan == self.count
        while (piece := pieces.next()) is not None:
            (self.folder / f"{piece}.begun.{secrets.token_hex(4)}").touch()
            time.sleep(self.seconds)
            while piece == self.count - 1 and len(list(self.folder.glob("opened.*"))) < self.together:
                time.sleep(0.1)
            if piece == self.deadly:
                os._exit(1)
            if piece == self.wrong:
                raise OutputError("no space left; free some")
            (self.folder / f"{piece}.done").touch()
            pieces.done(piece, piece)

    def finish(self, told: int) -> str:
        return f"{told} done"


@dataclass
class Heard:
    """A listener that keeps what it hears, and acts once in the driver's thread, where machines can be added."""

    act: Callable[[], object] | None = None
    when: Callable[[], bool] = lambda: True
    plan: int = 0
    pieces: list[int] = field(default_factory=list)
    most: int = 0
    lost: int = 0

    def planned(self, plan: int) -> None:
        self.plan = plan

    def finished(self, piece: int) -> None:
        self.pieces.append(piece)

    def crew(self, actors: int, lost: int) -> None:
        self.most, self.lost = max(self.most, actors), lost
        if self.act is not None and self.when():
            act, self.act = self.act, None
            act()

    def totals(self) -> int:
        return len(self.pieces)
