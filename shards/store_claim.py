"""One command at a time on a run in an object store: OUT/claim.json, put there only where there is none.

A claim is renewed every few seconds. One that nobody has renewed for PATIENCE seconds is of a command that was killed,
and so is one of a process of this machine that is gone: it is taken over, by a put that holds only for the claim that
was seen. No clock of another machine is read. A command whose claim was taken over stops with a line.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
import threading
import time
from types import TracebackType

from shards.errors import OutputError, ResumeError, SchemaError
from shards.files import process_name
from shards.guard.json_text import parse_object
from shards.stores import ObjectStore

CLAIM = "claim.json"
BEAT, PATIENCE, LOOK = 5.0, 60.0, 1.0
"""Seconds between renewals; without one until a claim counts as left behind; between looks meanwhile."""
ALONE = (
    "%s: another command works on this run; wait for its end, or let many machines make it with --engine ray (without "
    "it, one command at a time may work on a run in an object store)"
)


class StoreClaim:
    """The right to a run; a context manager. Raises ResumeError where another command has it, OutputError."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.tag: str | None = None
        self.lost = False
        self._ended = threading.Event()
        self._count = 0
        self._token = secrets.token_hex(8)

    def __enter__(self) -> StoreClaim:
        try:
            self.tag = self._take()
        except NotImplementedError:
            self.tag = None
        if self.tag is None:
            print(
                f"{self.store.address}: this store cannot refuse a second command on the same run (it has no "
                f"conditional put); see to it that there is only this one",
                file=sys.stderr,
            )
        else:
            threading.Thread(target=self._beat, name="store-claim", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self.tag is not None and not self.lost:
            try:
                self.store.delete(CLAIM)
            except OutputError:
                if kind is None:
                    raise

    def check(self) -> None:
        """Raises ResumeError once another command has taken over."""
        if self.lost:
            raise ResumeError(f"{self.store.address}: another command has taken over this run; this one stops")

    def _take(self) -> str | None:
        """The tag of our claim; None where the store does not hold conditions."""
        tag = self.store.put_new(CLAIM, self._body())
        if tag is not None:
            return tag if self.store.put_new(CLAIM, self._body()) is None else None
        seen, began = self.store.get(CLAIM), time.monotonic()
        if seen is not None and parsed(seen[0]).get("token") == self._token:  # it arrived, and its answer was lost
            return seen[1]
        while seen is not None and not is_left(seen[0]):
            if time.monotonic() - began >= PATIENCE:
                break
            time.sleep(LOOK)
            again = self.store.get(CLAIM)
            if again is not None and again[1] != seen[1]:
                raise ResumeError(ALONE % self.store.address)
            seen = again
        tag = self.store.put_new(CLAIM, self._body()) if seen is None else self._replace(seen[1])
        if tag is None:
            raise ResumeError(ALONE % self.store.address)
        return tag

    def _replace(self, tag: str) -> str | None:
        return self.store.replace(CLAIM, self._body(), tag)

    def _body(self) -> bytes:
        self._count += 1
        facts = {"process": process_name(), "machine": machine(), "pid": os.getpid(), "started": started(os.getpid())}
        return json.dumps({**facts, "token": self._token, "count": self._count}).encode()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT) and self.tag is not None:
            try:
                tag = self._replace(self.tag)
            except (OutputError, NotImplementedError):
                continue  # the store is away for a moment; a put of the run itself says so if it lasts
            if tag is None and not self._ended.is_set():
                tag = self._own()
                self.lost = tag is None
            if self.lost:
                return
            self.tag = tag

    def _own(self) -> str | None:
        """The tag of the claim if it is ours: a renewal whose answer was lost. None if it is another's."""
        try:
            seen = self.store.get(CLAIM)
        except OutputError:
            return self.tag
        return seen[1] if seen is not None and parsed(seen[0]).get("token") == self._token else None


def parsed(data: bytes) -> dict[str, object]:
    """What a claim says; empty for what is none."""
    try:
        return parse_object(data, CLAIM)
    except SchemaError:
        return {}


def is_left(data: bytes) -> bool:
    """Whether a claim is of a process of this machine that has ended."""
    told = parsed(data)
    pid = told.get("pid")
    return told.get("machine") == machine() and isinstance(pid, int) and started(pid) != told.get("started")


def machine() -> str:
    """This machine since it was switched on."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        return ""
    return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"


def started(pid: int) -> str:
    """When a process of this machine began, "" where there is none: tells it from a later one of the same number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
