"""Tasks side by side, each in a process of its own: one thread each, one card each where there are cards.

A process that fails or is killed costs its own task and nothing else; all of them end with the one that began them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from shards.errors import UserError, own_code_error
from shards.files import make_folder
from shards.pool import begin, single_threaded

Outcome = str
"""What went wrong in one line, "" for nothing."""


@dataclass
class Running:
    """A task under way."""

    task: Any
    process: Any
    answer: Connection
    slot: int


class Slots:
    """At most so many tasks at a time. With one, they are done in the calling process, one after another."""

    def __init__(self, number: int, work: Callable[[Any], None], logs: Path, cards: int = 0) -> None:
        self.number, self.work, self.logs, self.cards = number, work, logs, cards
        self.running: list[Running] = []

    def has_room(self) -> bool:
        return len(self.running) < self.number

    def begin(self, task: Any, name: str) -> Outcome | None:
        """Begin a task; its outcome where it is done already, None where it runs beside us."""
        make_folder(self.logs)
        log = self.logs / f"{name}.log"
        if self.number == 1:
            return attempt(self.work, task, log)
        slot = min(set(range(self.number)) - {one.slot for one in self.running})
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        card = str(slot % self.cards) if self.cards else ""
        process = context.Process(target=child, args=(os.getpid(), self.work, task, log, sender, card))
        with single_threaded():
            process.start()
        sender.close()
        self.running.append(Running(task, process, receiver, slot))
        return None

    def finished(self) -> list[tuple[Any, Outcome]]:
        """Wait for one or more tasks to end."""
        wait([one.process.sentinel for one in self.running])
        ended = [one for one in self.running if not one.process.is_alive()]
        self.running = [one for one in self.running if one not in ended]
        return [(one.task, outcome_of(one)) for one in ended]

    def stop(self) -> None:
        """End all of them."""
        for one in self.running:
            one.process.terminate()
        for one in self.running:
            one.process.join()
        self.running = []


def outcome_of(one: Running) -> Outcome:
    """What a process that ended had to say."""
    one.process.join()
    told = ""
    with contextlib.suppress(EOFError, OSError):
        if one.answer.poll():
            told = one.answer.recv()
            return told if told != DONE_WELL else ""
    code = one.process.exitcode
    how = f"by signal {-code}; was memory short?" if code and code < 0 else f"with exit code {code}"
    return f"its process ended {how}"


DONE_WELL = "done"


def child(parent: int, work: Callable[[Any], None], task: Any, log: Path, answer: Connection, card: str) -> None:
    """A process: everything it prints goes to its log."""
    if card:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_card(int(card))
    begin(parent)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    answer.send(attempt(work, task, log) or DONE_WELL)
    answer.close()
    sys.stdout.flush()


def visible_card(number: int) -> str:
    """The card's name among those that this machine's processes may see."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return given.split(",")[number] if given else str(number)


def attempt(work: Callable[[Any], None], task: Any, log: Path) -> Outcome:
    """Do a task; an error is one line, with its traceback in the log unless it is the user's or of the user's code."""
    try:
        work(task)
    except UserError as error:
        return " ".join(str(error).split())
    except Exception as error:  # an arm that fails must not take the others with it
        words = own_code_error(error)
        if words:
            return words
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} (see {log})"
    return ""
