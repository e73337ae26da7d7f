"""Work on a Ray cluster whose machines come and go: actors open what they need once and take piece after piece.

    driver   Crew (shards/crew.py): hires actors, hears how they end, keeps the count; loads nothing heavy itself
    actors   Actor: one a card (or a share of the processors), each with its own `Work`
    head     the Handout (shards/handout.py), beside the driver; an actor asks it for its next piece

What is finished is known by what `Work` leaves behind (done marks), so the driver may die too: the same command goes
on. Errors of the user's are answers, not exceptions: the run stops with one line. Any other end of an actor costs what
it had in hand, which others get.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shards.errors import ConfigError, UserError, one_line, own_code_error
from shards.handout import Pieces

if TYPE_CHECKING:
    import argparse

KNOCK = 10.0
"""Seconds within which a cluster must answer."""
TAKEN = (
    *(signal.SIGTERM, signal.SIGINT),
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV),
)
"""Signals that Ray handles in a driver: it puts Python's handlers and, below them, C++ ones in the place of ours."""
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
    """Seconds without any actor after which the run gives up, where no machine is large enough; four times as long
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


def knock(address: str) -> None:
    """See whether somebody listens at HOST:PORT; Ray itself tries for minutes. Raises OSError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


class Handlers:
    """The handlers of signals as they were, for whoever lends the process to a library that sets its own.

    Python alone can be asked, and only in the main thread; elsewhere nothing is kept and nothing set.
    """

    def __init__(self) -> None:
        inside = threading.current_thread() is threading.main_thread()
        self.kept = {number: signal.getsignal(number) for number in TAKEN} if inside else {}
        self.tells_faults = faulthandler.is_enabled()

    def restore(self, only_ours: bool = False) -> None:
        """Set them again, also those that Python still has but the process no longer.

        only_ours: leave alone what had no handler, so that the library can put its processes away.
        """
        for number, handler in self.kept.items():
            if handler is None or (only_ours and not callable(handler)):
                continue  # None: set by no Python, so it cannot be set from here
            signal.signal(number, handler)


@contextmanager
def connected(demand: Demand) -> Iterator[Any]:
    """The module `ray`, connected to the cluster; left again at the block's end unless it was before.

    Handlers of signals that are there are at work within the block, and all are as they were after it.

    Raises ClusterError: ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    handlers = Handlers()
    try:
        import ray
    except ImportError as error:
        raise ClusterError(MISSING) from error
    mine = not ray.is_initialized()
    try:
        if mine:
            connect(ray, demand, handlers)
            handlers.restore(only_ours=True)
        yield ray
    finally:
        if mine:
            ray.shutdown()
            if not handlers.tells_faults:
                faulthandler.disable()  # `ray.init` has enabled it
            handlers.restore()


def connect(ray: Any, demand: Demand, handlers: Handlers) -> None:
    """Reach the cluster, or start one on this machine. Raises ClusterError."""
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
        if isinstance(error, SystemExit) and error.code == signal.SIGTERM:  # what Ray makes of it meanwhile
            handlers.restore()
            signal.raise_signal(signal.SIGTERM)
        reason = one_line(str(error), 300)
        raise ClusterError(
            f"the Ray cluster {where or 'of this machine'} cannot be reached ({reason}); check --address, and that "
            f"it runs Ray {ray.__version__} on Python {sys.version_info[0]}.{sys.version_info[1]}"
        ) from error
