"""How far a run in an object store is, from its manifest, its done marks and the claim of the command that makes it."""

from __future__ import annotations

import time

from shards.errors import MissingInputError, ResumeError
from shards.marks import total
from shards.run_log import RUNNING
from shards.status import Status, read_marks
from shards.store_claim import CLAIM, PATIENCE
from shards.store_reads import ReadStore
from shards.store_run import small_files
from shards.stores import Address
from shards.writer import MANIFEST, read_manifest


def stored_status(address: Address, now: float | None = None) -> Status:
    """Look at a run; nothing is written. Logs stay on the machine that wrote them, so no process is told of.

    A run is at work while its claim was renewed within the last minute, by the clocks of the store and of this machine;
    one that Ray's actors make has none and counts as not running.

    Raises MissingInputError where there is no run, ResumeError where its manifest is damaged, SourceError.
    """
    with small_files(address, marks=True) as folder:
        if not (folder / MANIFEST).is_file():
            raise MissingInputError(f"{address} holds no run of shards ({MANIFEST} is not there); name one")
        manifest = read_manifest(folder / MANIFEST)
        shards = manifest.get("num_shards")
        if type(shards) is not int or shards < 0:
            raise ResumeError(f"{address / MANIFEST} is damaged (num_shards is {str(shards)[:40]!r})")
        marks = read_marks(folder)
    finished = "totals" in manifest
    at_work = not finished and renewed(ReadStore(address), time.time() if now is None else now)
    state = "finished" if finished else RUNNING if at_work else "not running; the same command again goes on"
    return Status(str(address), state, len(marks), shards, total(marks), ())


def renewed(store: ReadStore, now: float) -> bool:
    """Whether a command has the run, as of the last minute."""
    when = store.time_of(CLAIM)
    return when is not None and now - when.timestamp() < PATIENCE
