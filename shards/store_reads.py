"""Objects read by range: each answer is of the object that was listed, and whole, or the request is an error.

The client's own threads do not survive a fork. A forked process, such as a worker of torch's DataLoader, therefore
reads through a helper: a process of its own (shards/store_helper.py), started at the first read and gone with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from shards.errors import MissingInputError, SourceError, UserError
from shards.stores import Address, ObjectStore, is_forked

MOST_LISTED = 1_000_000
"""Objects of one folder that are listed."""


@dataclass(frozen=True)
class Listed:
    """An object as a listing has it."""

    size: int
    """Bytes."""
    tag: str
    """Changes when the object does: the store's ETag, where it has none the time."""


class ReadStore(ObjectStore):
    """An object store that is read. Raises SourceError, MissingInputError where the bucket is not there."""

    error = SourceError
    rights, again = "read", "run the same command again"

    def listed(self, prefix: str = "", deep: bool = True) -> dict[str, Listed]:
        """The objects of the folder of this name, in order of names; one listing. deep: of folders within it too."""

        def work() -> dict[str, Listed]:
            if deep:
                batches = self.obstore.list(self.store, prefix or None)
            else:
                batches = [self.obstore.list_with_delimiter(self.store, prefix or None)["objects"]]
            found: dict[str, Listed] = {}
            for batch in batches:
                found.update({str(one["path"]): Listed(int(one["size"]), tag_of(one)) for one in batch})
                if len(found) > MOST_LISTED:
                    raise SourceError(f"{self.address} holds more than {MOST_LISTED} objects; name a folder within it")
            return found

        return dict(sorted(self.insist(work).items()))

    def head(self, name: str) -> Listed | None:
        """Size and tag of an object, None where there is none."""

        def work() -> Listed | None:
            try:
                found = self.obstore.head(self.store, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            return Listed(int(found["size"]), tag_of(found))

        return self.insist(work)

    def time_of(self, name: str) -> datetime | None:
        """When an object was put, by the store's clock; None where there is none."""

        def work() -> datetime | None:
            try:
                found: datetime = self.obstore.head(self.store, name)["last_modified"]
            except FileNotFoundError:
                return None
            return found

        return self.insist(work)

    def read(self, name: str, listed: Listed, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` of an object. Raises SourceError where it is gone, or another than was listed."""
        if size <= 0:
            return b""
        if offset < 0 or offset + size > listed.size:
            raise SourceError(f"{self.address / name} has {listed.size} bytes; {size} from {offset} on were asked for")

        def work() -> bytes:
            try:
                found = self.obstore.get(self.store, name, options={"range": (offset, offset + size)})
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise SourceError(f"{self.address / name} is gone since it was listed; {self.again}") from error
            if tag_of(found.meta) != listed.tag:
                raise SourceError(f"{self.address / name} was changed since it was listed; {self.again}")
            data = bytes(found.bytes())
            if len(data) != size:
                raise OSError(f"{len(data)} of {size} bytes of {name} came")
            return data

        return self.insist(work)

    def explained(self, error: Exception) -> str:
        """As of ObjectStore; a bucket that is missing cannot be made for reading."""
        if "NoSuchBucket" in str(error):
            raise MissingInputError(
                f"{self.address}: the bucket is not there; check its name, the region and AWS_ENDPOINT_URL"
            ) from error
        return super().explained(error)


def tag_of(meta: Mapping[str, Any]) -> str:
    """Listings and answers of one store quote an ETag differently."""
    tag = str(meta.get("e_tag") or "").removeprefix("W/").strip('"')
    return tag or str(meta["last_modified"])


class Reads:
    """`ReadStore.read` in any process, forked or not, and in any thread; pickles."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._own: dict[int, _Own] = {}

    def read(self, name: str, listed: Listed, offset: int, size: int) -> bytes:
        """As ReadStore.read."""
        own = self._own.setdefault(os.getpid(), _Own())
        if not is_forked():
            with own.lock:
                store = own.store = own.store or ReadStore(self.address)
            return store.read(name, listed, offset, size)
        with own.lock:
            own.helper = own.helper or Helper(self.address)
            return own.helper.read(name, listed, offset, size)

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "_own": {}}


@dataclass
class _Own:
    """What one process reads with; nothing of another process is used, least of all its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    store: ReadStore | None = None
    helper: Helper | None = None


class Helper:
    """A process that reads for this one; it ends when this one does, for then its questions do."""

    def __init__(self, address: Address) -> None:
        self.address = address
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shards.store_helper", address.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
        )

    def read(self, name: str, listed: Listed, offset: int, size: int) -> bytes:
        """As ReadStore.read; one question at a time."""
        asked = {"name": name, "listed": [listed.size, listed.tag], "offset": offset, "size": size}
        try:
            pipe_in, pipe_out = pipes(self.process)
            pipe_in.write(json.dumps(asked).encode() + b"\n")
            pipe_in.flush()
            told = json.loads(pipe_out.readline())
            data = pipe_out.read(size) if "error" not in told else b""
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.address}: the process that reads ended; run the same command again") from error
        if "error" in told:
            raise SourceError(str(told["error"]))
        if len(data) != size:
            raise SourceError(f"{self.address}: the process that reads ended; run the same command again")
        return data

    def __del__(self) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            with contextlib.suppress(OSError):
                for pipe in pipes(process):
                    pipe.close()
            process.wait()


def pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def serve(address: Address, asked: IO[bytes], told: IO[bytes]) -> None:
    """Answer questions until there are no more: a line of JSON, and the bytes where there was no error."""
    store = ReadStore(address)
    for line in asked:
        one = json.loads(line)
        try:
            size, tag = one["listed"]
            data, head = store.read(one["name"], Listed(size, tag), one["offset"], one["size"]), {}
        except UserError as error:
            data, head = b"", {"error": str(error)}
        told.write(json.dumps(head).encode() + b"\n" + data)
        told.flush()
