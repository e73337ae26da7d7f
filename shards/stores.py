"""Object stores as places of runs: s3://bucket/run, gs://.., az://.. through obstore. Reading: shards/store_reads.py.

An object appears whole, in one request, or not at all; each put is looked at afterwards. A request that fails for the
moment is tried again; what only the user can mend (no such bucket, no right to it) is said at once, in one line.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from shards.errors import OutputError, UserError, one_line

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az")
URL = re.compile(rf"({'|'.join(SCHEMES)})://([^/]+)/(.+)")
ATTEMPTS, FIRST_PAUSE = 7, 0.25
"""Tries of a request, and seconds before the second; each further pause is twice as long."""
ONE_REQUEST = 1 << 28
"""Bytes up to which an object is put in a single request; above, in parts, which appear together."""
MOST_OBJECT = 1 << 30
"""Bytes of an object that is read as a whole."""
MISSING = "an object store needs the package obstore: pip install 'blemish[stores]'"
REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403", "401")


@dataclass(frozen=True, order=True)
class Address:
    """A folder in an object store, or an object; its parts are named as those of a path."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> str:
        return f"{self.url}/{name}"

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """The folder around it."""
        return Address(self.url.rpartition("/")[0])


def output(text: str) -> Path | Address:
    """What --out names; an address that cannot be written to comes back as a path, which is refused by name."""
    found = text.rstrip("/")
    return Address(found) if URL.fullmatch(found) else Path(text)


_clients: set[int] = set()
"""Processes that have opened a store: this one, or those that it was forked from."""


def is_forked() -> bool:
    """Whether a store was opened before this process was forked: the client, called here, would wait for ever."""
    return bool(_clients) and os.getpid() not in _clients


class ObjectStore:
    """The objects below an address, by names such as "shards/00000.tar".

    Raises OutputError: obstore is missing, or the store refuses or fails. Safe to use from several threads, not in a
    process that was forked from one that has opened a store: the client's own threads are not there.
    """

    error: type[UserError] = OutputError
    rights, again = "write", "what is done is kept, run the same command again to resume"

    def __init__(self, address: Address) -> None:
        try:
            import obstore
        except ImportError as error:
            raise self.error(f"{address}: {MISSING}") from error
        if is_forked():
            raise self.error(f"{address}: this process was forked from one that uses stores; start it by spawning it")
        _clients.add(os.getpid())
        self.address, self.obstore = address, obstore
        with self.reaching():
            self.store = obstore.store.from_url(
                address.url,
                client_options={"allow_http": True, "timeout": timedelta(seconds=120)},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=60)},
            )

    def put_file(self, name: str, path: Path) -> None:
        """A file under its final name."""
        size = path.stat().st_size
        self.insist(lambda: self._put(name, path, size, size > ONE_REQUEST))

    def put(self, name: str, data: bytes) -> None:
        """Bytes under their final name."""
        self.insist(lambda: self._put(name, data, len(data), False))

    def _put(self, name: str, data: Path | bytes, size: int, parts: bool) -> None:
        self.obstore.put(self.store, name, data, use_multipart=parts)
        found = self.obstore.head(self.store, name)["size"]
        if found != size:  # a connection that was cut, and a store that took what it had for the whole
            raise OSError(f"{found} of {size} bytes arrived")

    def put_new(self, name: str, data: bytes) -> str | None:
        """Put an object unless there is one; its tag, or None where there is. Raises NotImplementedError."""
        return self.conditional(name, data, "create")

    def replace(self, name: str, data: bytes, tag: str) -> str | None:
        """Put an object in place of the one with this tag; its tag, or None where that is another or gone."""
        return self.conditional(name, data, {"e_tag": tag})

    def conditional(self, name: str, data: bytes, mode: Any) -> str | None:
        """One request, which is not tried again here: it may have arrived. Raises NotImplementedError."""
        kinds = self.obstore.exceptions
        with self.reaching():
            try:
                return str(self.obstore.put(self.store, name, data, mode=mode, use_multipart=False)["e_tag"])
            except (kinds.AlreadyExistsError, kinds.PreconditionError):
                return None
            except kinds.NotSupportedError as error:
                raise NotImplementedError(str(error)) from error
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def get(self, name: str) -> tuple[bytes, str] | None:
        """(bytes, tag) of an object, None where there is none."""

        def work() -> tuple[bytes, str] | None:
            try:
                found = self.obstore.get(self.store, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            if found.meta["size"] > MOST_OBJECT:
                raise self.error(
                    f"{self.address / name} has {found.meta['size']} bytes; at most {MOST_OBJECT} are read"
                )
            return bytes(found.bytes()), str(found.meta["e_tag"])

        return self.insist(work)

    def get_file(self, name: str, path: Path) -> None:
        """An object into a file. Raises OutputError where it is gone."""

        def work() -> None:
            with path.open("wb") as file:
                for chunk in self.obstore.get(self.store, name).stream(min_chunk_size=1 << 22):
                    file.write(chunk)

        self.insist(work)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Bytes of every object whose folder begins so; one listing."""

        def work() -> dict[str, int]:
            batches = self.obstore.list(self.store, prefix or None)
            return {str(one["path"]): int(one["size"]) for batch in batches for one in batch}

        return self.insist(work)

    def delete(self, name: str) -> None:
        """Nothing happens where there is none."""

        def work() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.obstore.delete(self.store, name)

        self.insist(work)

    def insist(self, work: Callable[[], T]) -> T:
        """A request that may be repeated, until it succeeds. Raises `error`."""
        kinds = self.obstore.exceptions
        final = (
            FileNotFoundError,
            PermissionError,
            kinds.PermissionDeniedError,
            kinds.UnauthenticatedError,
            UserError,
        )
        with self.reaching():
            for attempt in range(ATTEMPTS - 1):
                try:
                    return work()
                except final:
                    raise
                except Exception as error:
                    if any(word in str(error) for word in ("NoSuchBucket", *REFUSED[:-2])):
                        raise
                    time.sleep(FIRST_PAUSE * 2**attempt)
            return work()

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Whatever the client raises becomes one line."""
        try:
            yield
        except (UserError, NotImplementedError):
            raise
        except Exception as error:
            raise self.error(f"{self.address}: {self.explained(error)}") from error

    def explained(self, error: Exception) -> str:
        """What went wrong, and what to do."""
        text = one_line(str(error).partition("Debug source")[0], 300)
        kinds = self.obstore.exceptions
        refused = isinstance(error, (kinds.PermissionDeniedError, kinds.UnauthenticatedError, PermissionError))
        if "NoSuchBucket" in str(error):
            return "the bucket is not there; make it or name another, then run the same command again to resume"
        if refused or any(word in str(error) for word in REFUSED[:-2]) or "credential" in text.lower():
            return (
                f"the store refuses these credentials ({text}); set those that may {self.rights} there, such as "
                f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if isinstance(error, FileNotFoundError):
            return f"an object is gone ({text}); run the same command again"
        return f"the store cannot be reached ({text}); {self.again}"
