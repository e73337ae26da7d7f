"""Work on a Ray cluster whose machines come and go: actors open what they need once and take piece after piece.

    driver   Crew: hires actors, hears how they end, keeps the count; loads nothing heavy itself
    actors   Actor: one a card (or a share of the processors), each with its own `Work`
    head     the Handout (shards/handout.py), beside the driver; an actor asks it for its next piece

What is finished is known by what `Work` leaves behind (done marks), so the driver may die too: the same command goes
on. Errors of the user's are answers, not exceptions: the run stops with one line. Any other end of an actor costs what
it had in hand, which others get.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from shards.errors import ConfigError, UserError, one_line, own_code_error
from shards.handout import MOST_LOSSES, Handout, News, Pieces

if TYPE_CHECKING:
    import argparse

POLL, LOOK_AT_NODES = 0.5, 2.0
"""Seconds between looks at what has happened, and at the machines."""
BUSY = 4
"""Times as long is waited where machines are large enough, and busy or slow to start an actor."""
KNOCK = 10.0
"""Seconds within which a cluster must answer."""
MISSING = "--engine ray: the package ray is not installed; install it with: pip install 'blemish[ray]'"


class ClusterError(UserError, RuntimeError):
    """A cluster that cannot be reached, does not have what was asked for, or loses its actors over and over."""


@dataclass(frozen=True)
class Demand:
    """What a run asks of the cluster."""

    actors: int = 0
    """How many at most; 0: as many as the machines have room for, also when more join."""
    cpus: float = 1.0
    """Processors of each."""
    gpus: float | None = 0.0
    """Cards of each; 0.5 puts two on a card; None: 1 where the cluster has any."""
    wait: float = 30.0
    """Seconds without any actor after which the run gives up, where no machine is large enough; BUSY times as long
    where one is and has no room now."""
    address: str = ""
    """Of the cluster; "": RAY_ADDRESS, else one is started on this machine."""

    def __post_init__(self) -> None:
        cards = self.gpus or 0.0
        if self.actors < 0 or self.cpus < 0 or cards < 0 or not self.wait > 0 or self.cpus + cards <= 0:
            raise ConfigError(
                f"--actors {self.actors}, --actor-cpus {self.cpus:g}, --actor-gpus {cards:g}, --wait {self.wait:g}: "
                f"none may be negative, an actor needs some CPU or GPU, and --wait more than 0 seconds"
            )

    @property
    def words(self) -> str:
        """What each actor asks for."""
        cards = "1 GPU where the cluster has any" if self.gpus is None else f"{self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU" + (f" and {cards}" if cards else "")


def demand_of(args: argparse.Namespace, takes_cards: bool | None) -> Demand | None:
    """What `add_engine` added; None where no cluster is asked for. Raises ConfigError.

    takes_cards: whether the work is on cards, where --actor-gpus is not given; None: where there are any.
    """
    if args.engine == "local":
        return None
    gpus = args.actor_gpus
    if gpus is None and takes_cards is not None:
        gpus = 1.0 if takes_cards else 0.0
    return Demand(args.actors, args.actor_cpus, gpus, args.wait, args.address)


class Work(Protocol):
    """What an actor does; made and called in the cluster. UserErrors that it raises stop the run."""

    def open(self) -> None:
        """Load what is needed."""

    def plan(self) -> tuple[Any, list[int]]:
        """(what the listener wants to know, the pieces that are not done); asked of one actor."""

    def work(self, pieces: Pieces, plan: Any) -> None:
        """Take pieces until there are none; `plan` is what one of the actors said of the run."""

    def finish(self, told: Any) -> Any:
        """End the run, once every piece is done; asked of one actor, and of another should that one be lost."""


class Listener(Protocol):
    """What the driver tells whoever shows it."""

    def planned(self, plan: Any) -> None:
        """What `Work.plan` said."""

    def finished(self, facts: Any) -> None:
        """A piece is done."""

    def crew(self, actors: int, lost: int) -> None:
        """So many actors are at work, and so many were lost."""

    def totals(self) -> Any:
        """For `Work.finish`."""


@dataclass(frozen=True)
class Answer:
    """What a call of an actor gave, or an error of the user's in one line."""

    value: Any = None
    error: str = ""


class Actor:
    """Runs in the cluster."""

    def __init__(self, make: Callable[[], Work], folder: str) -> None:
        if os.path.isdir(folder):  # a shared disk: relative names of a config are the driver's
            os.chdir(folder)
        self.make: Callable[[], Work] = make
        self.made: Work | None = None

    def here(self) -> Answer:
        """The actor has a place."""
        return Answer()

    def call(self, name: str, *args: Any) -> Answer:
        """A method of the work."""
        try:
            self.made = self.made or self.make()
            return Answer(getattr(self.made, name)(*args))
        except UserError as error:
            return Answer(error=one_line(str(error)))
        except Exception as error:
            words = own_code_error(error)
            if not words:
                raise
            return Answer(error=one_line(words))

    def work(self, handout: Any, worker: str, plan: Any) -> Answer:
        """The method `work`, fed by the handout."""
        pieces = Asked(handout, worker)
        answer = self.call("work", pieces, plan)
        pieces.settle()
        return answer


class Asked(Pieces):
    """The handout as one actor has it; calls arrive in order."""

    def __init__(self, handout: Any, worker: str) -> None:
        self.handout, self.worker = handout, worker
        self._last: Any = None

    def next(self) -> int | None:
        import ray

        piece: int | None = ray.get(self.handout.next.remote(self.worker))
        return piece

    def done(self, piece: int, facts: Any = None) -> None:
        self._last = self.handout.done.remote(self.worker, piece, facts)

    def busy(self, piece: int) -> None:
        self._last = self.handout.busy.remote(self.worker, piece)

    def settle(self) -> None:
        """Wait until all that was said has arrived."""
        import ray

        if self._last is not None:
            ray.get(self._last)


PLACING, OPENING, PLANNING, IDLE, WORKING, FINISHING = "placing", "opening", "planning", "idle", "working", "finishing"


@dataclass
class Member:
    """An actor as the driver has it."""

    name: str
    handle: Any
    stage: str
    ref: Any
    """Of the call that it is at, None while it is idle."""

    def begin(self, stage: str, ref: Any) -> None:
        self.stage, self.ref = stage, ref


class Crew:
    """The driver's side. `run` returns what `Work.finish` gave.

    Raises ClusterError (nothing to work on, an error in an actor), and whatever the listener raises.
    """

    def __init__(self, ray: Any, make: Callable[[], Work], demand: Demand, listener: Listener) -> None:
        if demand.gpus is None:
            demand = replace(demand, gpus=1.0 if ray.cluster_resources().get("GPU") else 0.0)
        self.ray, self.make, self.demand, self.listener = ray, make, demand, listener
        self.members: dict[str, Member] = {}
        self.handout: Any = None
        self.plan: Any = None
        self.news = News((), 0, 0, ())
        self.hired = self.lost = self.early = 0
        """Actors so far; those that were lost; those lost in a row before they had any piece."""
        self.last_words = ""
        self._room = 0
        self._looked = -LOOK_AT_NODES
        self._manned = time.monotonic()

    def run(self) -> Any:
        """Until everything is done."""
        try:
            while True:
                self.hire()
                calls = {member.ref: member for member in self.members.values() if member.ref is not None}
                ready, _ = self.ray.wait(list(calls), num_returns=len(calls), timeout=POLL) if calls else ([], [])
                for ref in ready:
                    if self.heard(calls[ref], ref):
                        return self.ray.get(ref).value
                self.look()
                self.employ()
        finally:
            for member in self.members.values():
                self.ray.kill(member.handle)

    def hire(self) -> None:
        """Ask for the actors that are missing."""
        wanted = self.demand.actors or max(1, self.room())
        if self.handout is not None:
            wanted = min(wanted, max(1, self.news.unfinished))
        while len(self.members) < wanted:
            self.hired += 1
            options = {"num_cpus": self.demand.cpus, "num_gpus": self.demand.gpus, "scheduling_strategy": "SPREAD"}
            handle = self.ray.remote(**options)(Actor).remote(self.make, os.getcwd())
            name = f"actor-{self.hired}"
            self.members[name] = Member(name, handle, PLACING, handle.here.remote())

    def room(self) -> int:
        """How many actors the machines that are there can hold."""
        if time.monotonic() - self._looked >= LOOK_AT_NODES:
            self._looked = time.monotonic()
            asked = [("CPU", self.demand.cpus), ("GPU", self.demand.gpus)]
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            fits = [min(int(node.get(name, 0) // much) for name, much in asked if much) for node in nodes]
            self._room = sum(fits)
        return self._room

    def heard(self, member: Member, ref: Any) -> bool:
        """A call has ended; whether it was the last of the run."""
        try:
            answer: Answer = self.ray.get(ref)
        except Exception as error:  # the actor, its process or its machine is gone, or it raised what no user can mend
            self.miss(member, error)
            return False
        if answer.error:
            raise ClusterError(answer.error)
        stage = member.stage
        if stage == PLACING:
            member.begin(OPENING, member.handle.call.remote("open"))
            return False
        if stage == PLANNING:
            self.plan, todo = answer.value
            self.listener.planned(self.plan)
            self.handout = self.begin_handout(todo)
        elif stage == WORKING:
            self.early = 0
            self.ray.get(self.handout.returned.remote(member.name))
        member.begin(IDLE, None)
        return stage == FINISHING

    def miss(self, member: Member, error: Exception) -> None:
        """An actor is lost."""
        self.lost += 1
        self.last_words = reason_of(error)
        del self.members[member.name]
        with suppress(Exception):  # it may be gone already
            self.ray.kill(member.handle)
        if member.stage == WORKING:
            self.ray.get(self.handout.lost.remote(member.name))
            return
        self.early += 1
        if self.early >= MOST_LOSSES:
            raise ClusterError(
                f"{self.early} actors in a row were lost while {member.stage} ({self.last_words}); mend that, then "
                f"run the same command again"
            )

    def begin_handout(self, todo: list[int]) -> Any:
        """The handout in a process beside the driver, which lives and dies with it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        remote = self.ray.remote(num_cpus=0, scheduling_strategy=here)(Handout)
        return remote.remote(todo)

    def look(self) -> None:
        """Hear what was finished, and see that somebody works. Raises ClusterError."""
        if self.handout is not None:
            self.news = self.ray.get(self.handout.news.remote())
            for _, facts in self.news.facts:
                self.listener.finished(facts)
        placed = sum(member.stage != PLACING for member in self.members.values())
        self.listener.crew(placed, self.lost)
        if self.news.given_up:
            pieces = ", ".join(map(str, self.news.given_up[:5]))
            raise ClusterError(
                f"piece {pieces}: {MOST_LOSSES} actors were lost at it, the last: {self.last_words}; if memory ran "
                f"out, give actors more (--actor-cpus) or ask for fewer (--actors); what is done is kept"
            )
        if placed:
            self._manned = time.monotonic()
        elif (waited := time.monotonic() - self._manned) > self.demand.wait and (
            not self.room() or waited > BUSY * self.demand.wait
        ):
            raise ClusterError(self.shortage(waited))

    def employ(self) -> None:
        """Give those that are idle something to do."""
        for member in self.members.values():
            if member.stage != IDLE:
                continue
            busy = {other.stage for other in self.members.values()}
            if self.handout is None:
                if PLANNING not in busy:
                    member.begin(PLANNING, member.handle.call.remote("plan"))
            elif self.news.waiting:
                member.begin(WORKING, member.handle.work.remote(self.handout, member.name, self.plan))
            elif not self.news.unfinished and not busy & {FINISHING, WORKING}:
                member.begin(FINISHING, member.handle.call.remote("finish", self.listener.totals()))

    def shortage(self, waited: float) -> str:
        """What is missing, in one line."""
        there, free = self.ray.cluster_resources(), self.ray.available_resources()
        nodes = sum(node["Alive"] for node in self.ray.nodes())
        has = ", ".join(f"{there.get(name, 0):g} {name} ({free.get(name, 0):g} free)" for name in ("CPU", "GPU"))
        lost = f"; the last actor was lost: {self.last_words}" if self.last_words else ""
        return (
            f"no actor could be placed within {waited:.0f} s: each asks for {self.demand.words}, and the "
            f"cluster has {nodes} machine{'s' * (nodes != 1)} with {has} in all{lost}; let machines join, ask for less "
            f"(--actor-cpus, --actor-gpus) or wait longer (--wait); what is done is kept"
        )


def reason_of(error: Exception) -> str:
    """Why an actor was lost, in one short line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return one_line(f"{type(cause).__name__}: {cause}", 300)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("class_name:", "actor_id:", "pid:", "namespace:", "ip:"))]
    return one_line(f"{type(error).__name__}: {' '.join(told)}", 300)


def knock(address: str) -> None:
    """See whether somebody listens at HOST:PORT; Ray itself tries for minutes. Raises OSError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


@contextmanager
def connected(demand: Demand) -> Iterator[Any]:
    """The module `ray`, connected to the cluster; left again at the block's end unless it was before.

    Raises ClusterError: ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    try:
        import ray
    except ImportError as error:
        raise ClusterError(MISSING) from error
    mine = not ray.is_initialized()
    if mine:
        where = demand.address or os.environ.get("RAY_ADDRESS") or None
        try:
            knock(where or "")
            ray.init(
                address=where,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=None if where else False,
            )
        except (Exception, SystemExit) as error:  # nobody there, another version of Ray or Python, ports in use
            reason = one_line(str(error), 300)
            raise ClusterError(
                f"the Ray cluster {where or 'of this machine'} cannot be reached ({reason}); check --address, and that "
                f"it runs Ray {ray.__version__} on Python {sys.version_info[0]}.{sys.version_info[1]}"
            ) from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def run_crew(make: Callable[[], Work], demand: Demand, listener: Listener) -> Any:
    """Do the work on the cluster; returns what `Work.finish` gave. Raises ClusterError."""
    with connected(demand) as ray:
        try:
            return Crew(ray, make, demand, listener).run()
        except ray.exceptions.RayError as error:  # the head, or the handout beside the driver, is gone
            raise ClusterError(
                f"the Ray cluster was lost ({reason_of(error)}); what is done is kept, and the same command goes on"
            ) from error
