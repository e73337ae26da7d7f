"""A folder that belongs to one piece of work: the same command resumes it, any other is refused.

    OUT/RECORD   JSON of what makes this work this one, its identity
    OUT/.lock    there while a process works in the folder

Runs of shards have more to ask (extensions, many processes at once) and claim their folders themselves (writer.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shards.build import plain
from shards.config import differences
from shards.errors import ResumeError, UserError
from shards.files import explain, make_folder, write_json
from shards.guard.json_text import read_object
from shards.locks import Locks

LOCK = ".lock"
HINT = "choose another folder with --out"
SHOWN = 5
"""Differences that an error names."""


class Claim:
    """One folder for one piece of work. Nothing is written before `take`.

    Args:
        record: name of the file that holds the identity.
        identity: plain values, dataclasses or paths.
        work: what is done there, such as "training", for errors.
        hint: what to do instead, for errors.
        error: what is raised for a folder that cannot be had.
        alone: whether the folder may hold nothing else when the work begins.
    """

    def __init__(
        self,
        out: Path,
        record: str,
        identity: Mapping[str, Any],
        work: str,
        hint: str = HINT,
        error: type[UserError] = ResumeError,
        alone: bool = True,
    ) -> None:
        self.out, self.path, self.identity = out, out / record, plain(dict(identity))
        self.work, self.hint, self.error, self.alone = work, hint, error, alone
        self.lock = Locks(out / LOCK)

    def is_begun(self) -> bool:
        """Whether this very work was begun there.

        Raises `error` for other work, other files or a damaged record; OutputError.
        """
        try:
            there = sorted(name for name in os.listdir(self.out) if name != LOCK) if self.out.is_dir() else []
        except OSError as error:
            raise explain(error, self.out) from error
        if self.path.name not in there:
            if there and self.alone:
                raise self.error(f"{self.out} holds other files ({', '.join(there[:3])}); choose an empty folder")
            return False
        changed = differences(read_record(self.path, self.hint, self.error), self.identity)
        if changed:
            shown = "; ".join(changed[:SHOWN]) + ("; ..." if len(changed) > SHOWN else "")
            raise self.error(f"{self.out} holds another {self.work} ({shown}); {self.hint}")
        return True

    def take(self) -> None:
        """Create and lock the folder, and look once more.

        Raises as `is_begun`, and `error` while another process works there.
        """
        make_folder(self.out)
        if not self.lock.take(0):
            raise self.error(f"{self.out}: another {self.work} is at work there; wait for it, or {self.hint}")
        self.is_begun()

    def write(self) -> None:
        """Put the record down. Raises OutputError."""
        write_json(self.path, self.identity)

    def release(self) -> None:
        """Let others in; nothing happens where the folder was not taken."""
        if self.lock.holds(0):
            self.lock.remove()
            self.lock.release(0)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Take the folder and put the record down; others are let in at the block's end. Raises as `take`."""
        try:
            self.is_begun()  # nothing is created in a folder of other work
            self.take()
            self.write()
            yield
        finally:
            self.release()


def read_record(path: Path, hint: str = HINT, error: type[UserError] = ResumeError) -> dict[str, Any]:
    """A JSON object of ours. Raises `error` where it is damaged."""
    try:
        return read_object(path, error=error)
    except error as why:
        raise error(f"{path} is damaged ({why}); delete it, or {hint}") from why
