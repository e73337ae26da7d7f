"""The driver of work on a cluster: hires actors, gives them what they do next, and replaces those that are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from shards.cluster import Actor, Answer, ClusterError, Demand, Listener, Work, connected
from shards.errors import one_line
from shards.handout import MOST_LOSSES, Handout, News

POLL, LOOK_AT_NODES = 0.5, 2.0
"""Seconds between looks at what has happened, and at the machines."""
BUSY = 4
"""Times as long is waited where machines are large enough, and busy or slow to start an actor."""
PLACING, OPENING, PLANNING, IDLE, WORKING, FINISHING = "placing", "opening", "planning", "idle", "working", "finishing"


class Room:
    """How many actors the machines of a cluster can hold, and what is missing where they hold none."""

    def __init__(self, ray: Any, demand: Demand) -> None:
        self.ray, self.demand = ray, demand
        self._found, self._looked = 0, -LOOK_AT_NODES

    def now(self) -> int:
        """The machines that are there are asked every LOOK_AT_NODES seconds."""
        if time.monotonic() - self._looked >= LOOK_AT_NODES:
            self._looked = time.monotonic()
            asked = [("CPU", self.demand.cpus), ("GPU", self.demand.gpus)]
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            fits = [min(int(node.get(name, 0) // much) for name, much in asked if much) for node in nodes]
            self._found = sum(fits)
        return self._found

    def check(self, waited: float, last_words: str) -> None:
        """Raise ClusterError where no actor has had a place for so many seconds, and that is too long."""
        if waited > self.demand.wait and (not self.now() or waited > BUSY * self.demand.wait):
            raise ClusterError(self.shortage(waited, last_words))

    def shortage(self, waited: float, last_words: str) -> str:
        """What is missing, in one line."""
        there, free = self.ray.cluster_resources(), self.ray.available_resources()
        nodes = sum(node["Alive"] for node in self.ray.nodes())
        has = ", ".join(f"{there.get(name, 0):g} {name} ({free.get(name, 0):g} free)" for name in ("CPU", "GPU"))
        lost = f"; the last actor was lost: {last_words}" if last_words else ""
        return (
            f"no actor could be placed within {waited:.0f} s: each asks for {self.demand.words}, and the "
            f"cluster has {nodes} machine{'s' * (nodes != 1)} with {has} in all{lost}; let machines join, ask for less "
            f"(--actor-cpus, --actor-gpus) or wait longer (--wait); what is done is kept"
        )


def settled(ray: Any, demand: Demand) -> Demand:
    """With cards where they were left open and the cluster has any."""
    return replace(demand, gpus=1.0 if ray.cluster_resources().get("GPU") else 0.0) if demand.gpus is None else demand


def new_actor(ray: Any, demand: Demand, make: Callable[[], Any]) -> Any:
    """A handle of a new actor, which makes what it works with when it is first called."""
    options = {"num_cpus": demand.cpus, "num_gpus": demand.gpus, "scheduling_strategy": "SPREAD"}
    return ray.remote(**options)(Actor).remote(make, os.getcwd())


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
        self.ray, self.make, self.demand, self.listener = ray, make, settled(ray, demand), listener
        self.room = Room(ray, self.demand)
        self.members: dict[str, Member] = {}
        self.handout: Any = None
        self.plan: Any = None
        self.news = News((), 0, 0, ())
        self.hired = self.lost = self.early = 0
        """Actors so far; those that were lost; those lost in a row before they had any piece."""
        self.last_words = ""
        self._manned = time.monotonic()

    def run(self) -> Any:
        """Until everything is done."""
        try:
            while True:
                self.hire()
                calls = {member.ref: member for member in self.members.values() if member.ref is not None}
                ready, _ = self.ray.wait(list(calls), timeout=POLL) if calls else ([], [])  # the first that ends
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
        wanted = self.demand.actors or max(1, self.room.now())
        if self.handout is not None:
            wanted = min(wanted, max(1, self.news.unfinished))
        while len(self.members) < wanted:
            self.hired += 1
            handle = new_actor(self.ray, self.demand, self.make)
            name = f"actor-{self.hired}"
            self.members[name] = Member(name, handle, PLACING, handle.here.remote())

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
        else:
            self.room.check(time.monotonic() - self._manned, self.last_words)

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


def reason_of(error: Exception) -> str:
    """Why an actor was lost, in one short line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return one_line(f"{type(cause).__name__}: {cause}", 300)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("class_name:", "actor_id:", "pid:", "namespace:", "ip:"))]
    return one_line(f"{type(error).__name__}: {' '.join(told)}", 300)


def run_crew(make: Callable[[], Work], demand: Demand, listener: Listener) -> Any:
    """Do the work on the cluster; returns what `Work.finish` gave. Raises ClusterError."""
    with connected(demand) as ray:
        try:
            return Crew(ray, make, demand, listener).run()
        except ray.exceptions.RayError as error:  # the head, or the handout beside the driver, is gone
            raise ClusterError(
                f"the Ray cluster was lost ({reason_of(error)}); what is done is kept, and the same command goes on"
            ) from error
