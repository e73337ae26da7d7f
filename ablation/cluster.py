"""Tasks on a Ray cluster (`--engine ray`): each in an actor of its own, on any machine that sees OUT.

An actor that is lost costs what its task had not yet saved: another one takes the task over.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ablation.processes import Outcome, Slots, attempt
from shards.cluster import Answer, ClusterError, Demand, connected
from shards.crew import POLL, Room, new_actor, reason_of, settled
from shards.extensions import search_in, searched
from shards.files import make_folder
from shards.handout import MOST_LOSSES
from shards.same_folder import TOKEN, check_token, write_token
from shards.writer import remove


class Hand:
    """What an actor does: one task. Made in the cluster."""

    def __init__(self, work: Callable[[Any], None], out: Path, token: str, search: tuple[Path, ...]) -> None:
        check_token(out, token)
        search_in(search)
        self.work = work

    def perform(self, task: Any, log: Path) -> Outcome:
        """Do it; everything that is printed goes to the log."""
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        return attempt(self.work, task, log)


@dataclass
class Member:
    """A task and the actor that has it."""

    task: Any
    log: Path
    handle: Any
    ref: Any
    """Of the call that the actor is at."""
    has_place: bool = False


class ClusterSlots:
    """As `Slots`, on a cluster. Any method raises ClusterError where there is nobody to work, or OUT is not shared."""

    def __init__(self, ray: Any, demand: Demand, out: Path, work: Callable[[Any], None], logs: Path) -> None:
        self.ray, self.demand, self.logs = ray, settled(ray, demand), logs
        self.room = Room(ray, self.demand)
        self.make = partial(Hand, work, out, write_token(out), searched())
        self.out = out
        self.running: list[Member] = []
        self.losses: Counter[str] = Counter()
        """Of actors, by the task's log."""
        self.last_words = ""
        self._manned = time.monotonic()

    @property
    def number(self) -> int:
        return self.demand.actors or max(1, self.room.now())

    def has_room(self) -> bool:
        return len(self.running) < self.number

    def begin(self, task: Any, name: str) -> Outcome | None:
        """Ask for an actor for this task."""
        make_folder(self.logs)
        self._hire(task, self.logs / f"{name}.log")
        return None

    def finished(self) -> list[tuple[Any, Outcome]]:
        """Tasks that have ended; none where a moment passed and nothing did, so that machines that join get some."""
        calls = {one.ref: one for one in self.running}
        ready, _ = self.ray.wait(list(calls), timeout=POLL)
        ended = [(calls[ref].task, told) for ref in ready if (told := self._heard(calls[ref])) is not None]
        if any(one.has_place for one in self.running) or not self.running:
            self._manned = time.monotonic()
        else:
            self.room.check(time.monotonic() - self._manned, self.last_words)
        return ended

    def stop(self) -> None:
        """End all of them."""
        for one in self.running:
            self.ray.kill(one.handle)
        self.running = []
        remove(self.out / TOKEN)

    def _hire(self, task: Any, log: Path) -> None:
        handle = new_actor(self.ray, self.demand, self.make)
        self.running.append(Member(task, log, handle, handle.here.remote()))

    def _heard(self, one: Member) -> Outcome | None:
        """A call has ended; how the task did, if that was it."""
        try:
            answer: Answer = self.ray.get(one.ref)
        except Exception as error:  # the actor, its process or its machine is gone
            return self._missed(one, error)
        if answer.error:
            raise ClusterError(answer.error)
        if not one.has_place:
            one.has_place = True
            one.ref = one.handle.call.remote("perform", one.task, one.log)
            return None
        self._dismiss(one)
        told: Outcome = answer.value
        return told

    def _missed(self, one: Member, error: Exception) -> Outcome | None:
        """Another actor for its task; the task fails where that has happened too often."""
        self._dismiss(one)
        self.last_words = reason_of(error)
        self.losses[str(one.log)] += 1
        if self.losses[str(one.log)] >= MOST_LOSSES:
            return f"{MOST_LOSSES} actors were lost at it, the last: {self.last_words}"
        self._hire(one.task, one.log)
        return None

    def _dismiss(self, one: Member) -> None:
        self.running.remove(one)
        self.ray.kill(one.handle)


Begin = Callable[[Callable[[Any], None], Path], Slots | ClusterSlots]
"""From the work and the folder of logs."""


@contextmanager
def on_cluster(demand: Demand, out: Path) -> Iterator[tuple[int, Begin]]:
    """How many tasks the cluster has room for now, and what does them. Raises ClusterError."""
    with connected(demand) as ray:
        room = Room(ray, settled(ray, demand)).now()
        try:
            yield demand.actors or max(1, room), partial(ClusterSlots, ray, demand, out)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"the Ray cluster was lost ({reason_of(error)}); what is done is kept, and the same command goes on"
            ) from error
