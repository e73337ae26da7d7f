"""The folder of a training: who may work in it, what is done there, and what another call left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from shards.config import differences
from shards.errors import ResumeError
from shards.files import explain, make_folder, write_json
from shards.guard.json_text import read_object
from shards.locks import Locks

RUN, RESULT, LOCK = "run.json", "train.json", ".lock"
TOLD: dict[str, type] = {
    "name": str,
    "seed": int,
    "iterations": int,
    "parameters": int,
    "validation_best": dict,
    "weights_sha256": str,
}
"""What the record of a finished training holds at least."""


class Folder:
    """One training in one folder. Nothing is written before `begin`.

    Args:
        identity: what makes this training this one. resume: an error where there is nothing to go on from.
        leads: False in all processes but the first, which claims the folder for all.
    """

    def __init__(self, out: Path, identity: dict[str, Any], resume: bool = False, leads: bool = True) -> None:
        self.out, self.identity, self.resume, self.leads = out, identity, resume, leads
        self.lock = Locks(out / LOCK)
        self.began = False

    def look(self) -> dict[str, Any] | None:
        """The record of the finished training, or None where there is work.

        Raises ResumeError (another training, other files, damaged ones), OutputError.
        """
        if self.leads:
            self._check()
        return read_record(self.out / RESULT) if (self.out / RESULT).is_file() else None

    def begin(self) -> None:
        """Claim the folder. Raises ResumeError (another process has it, or finished meanwhile), OutputError."""
        if self.leads:
            make_folder(self.out)
            if not self.lock.take(0):
                raise ResumeError(
                    f"{self.out}: another training is at work there; wait for it, or choose another --out"
                )
            if self.look() is not None:
                raise ResumeError(f"{self.out}: another process just finished this training; run the command again")
            write_json(self.out / RUN, self.identity)
        self.began = True

    def close(self) -> None:
        """Let others in."""
        if self.lock.holds(0):
            self.lock.remove()
            self.lock.release(0)

    def _check(self) -> None:
        try:
            there = sorted(name for name in os.listdir(self.out) if name != LOCK) if self.out.is_dir() else []
        except OSError as error:
            raise explain(error, self.out) from error
        if RUN not in there:
            if self.resume:
                raise ResumeError(f"{self.out} holds no training to resume; leave --resume out to begin one")
            if there:
                raise ResumeError(f"{self.out} holds other files ({', '.join(there[:3])}); choose an empty folder")
            return
        changed = differences(read_damaged(self.out / RUN), self.identity)
        if changed:
            shown = "; ".join(changed[:5]) + ("; ..." if len(changed) > 5 else "")
            raise ResumeError(f"{self.out} holds another training ({shown}); choose another folder with --out")


def read_damaged(path: Path) -> dict[str, Any]:
    """A JSON object of ours. Raises ResumeError."""
    try:
        return read_object(path, error=ResumeError)
    except ResumeError as error:
        raise ResumeError(f"{path} is damaged ({error}); delete the folder or choose another") from error


def read_record(path: Path) -> dict[str, Any]:
    """The record of a finished training. Raises ResumeError where it is none."""
    record = read_damaged(path)
    wrong = [name for name, kind in TOLD.items() if type(record.get(name)) is not kind]
    best = {} if wrong else record["validation_best"]
    if wrong or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in best.values()):
        told = wrong[0] if wrong else "validation_best"
        raise ResumeError(
            f"{path} is damaged ({told} is not what it was written as); delete it, or choose another folder"
        )
    return record
