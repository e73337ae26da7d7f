"""The folder of a training: who may work in it, what is done there, and what another call left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shards.claims import Claim, read_record
from shards.errors import ResumeError

RUN, RESULT = "run.json", "train.json"
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
        identity: what makes this training this one. resume: an error where there is nothing to resume.
        leads: False in all processes but the first, which claims the folder for all.
    """

    def __init__(self, out: Path, identity: dict[str, Any], resume: bool = False, leads: bool = True) -> None:
        self.out, self.resume, self.leads = out, resume, leads
        self.claim = Claim(out, RUN, identity, "training")
        self.began = False

    def look(self) -> dict[str, Any] | None:
        """The record of the finished training, or None where there is work.

        Raises ResumeError (another training, other files, damaged ones), OutputError.
        """
        if self.leads and not self.claim.is_begun() and self.resume:
            raise ResumeError(f"{self.out} holds no training to resume; leave --resume out to begin one")
        return read_result(self.out / RESULT) if (self.out / RESULT).is_file() else None

    def begin(self) -> None:
        """Claim the folder. Raises ResumeError (another process has it, or finished meanwhile), OutputError."""
        if self.leads:
            self.claim.take()
            if self.look() is not None:
                raise ResumeError(f"{self.out}: another process just finished this training; run the command again")
            self.claim.write()
        self.began = True

    def close(self) -> None:
        """Let others in."""
        self.claim.release()


def read_result(path: Path) -> dict[str, Any]:
    """The record of a finished training. Raises ResumeError where it is none."""
    record = read_record(path)
    wrong = [name for name, kind in TOLD.items() if type(record.get(name)) is not kind]
    best = {} if wrong else record["validation_best"]
    if wrong or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in best.values()):
        told = wrong[0] if wrong else "validation_best"
        raise ResumeError(
            f"{path} is damaged ({told} is not what it was written as); delete it, or choose another folder"
        )
    return record
