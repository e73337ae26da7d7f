"""Files that are either whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from shards.errors import OutputError
from shards.guard.plain_file import open_plain

PARTIAL = ".partial"
"""Ending of files under way. Their names also carry machine and process: two never write into one."""


LEFTOVER = re.compile(r"(?P<name>.+?)(\.[0-9a-f]{8}-\d+-[0-9a-f]{4}){1,2}(\.partial)?")
"""Names that `process_name` makes of the name of a file."""


ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+")
"""The beginning of an address; Path has taken one of its slashes."""


def leftover_of(name: str) -> str:
    """Of which file this is a copy under way, as `whole_file` and the writer name them; "" for any other name."""
    found = LEFTOVER.fullmatch(name)
    return found["name"] if found else ""


def explain(error: OSError, path: Path) -> OutputError:
    """An operating-system error while writing -> one line that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = f"no space left while writing {path}; free some space and run the same command again to resume"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        message = f"{path} cannot be written ({error.strerror}); choose a folder that you may write to"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        message = f"{path} cannot be written ({error.strerror}); another file stands in the way"
    else:
        message = f"{path} cannot be written ({error.strerror or error})"
    return OutputError(message)


def check_local(path: Path) -> None:
    """Refuse an address such as s3://bucket/run, of which Path makes the local folder `s3:`. Raises OutputError."""
    found = ADDRESS.match(str(path))
    if found:
        address = f"{found['scheme']}://{str(path)[found.end() :]}"
        raise OutputError(
            f"{address}: output goes to a folder of this machine (`blemish shards` alone also writes to "
            f"s3://bucket/run, gs:// and az://); name a local folder and copy it when it is complete"
        )


def make_folder(path: Path) -> None:
    """Create a folder and its parents. Raises OutputError."""
    check_local(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path) from error


class HashingFile:
    """A file being written: counts the sha256 as it goes and turns a full disk into an OutputError at once."""

    def __init__(self, file: BinaryIO, path: Path, hashed: bool = True) -> None:
        self.file, self.path, self.hashed, self.digest = file, path, hashed, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises OutputError."""
        try:
            self.file.write(data)
        except OSError as error:
            raise explain(error, self.path) from error
        if self.hashed:
            self.digest.update(data)
        return len(data)

    def tell(self) -> int:
        return self.file.tell()


def process_name() -> str:
    """A name for this process that no other process has on any machine with the same files."""
    machine = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    return f"{machine}-{os.getpid()}-{threading.get_ident() & 0xFFFF:04x}"


@contextlib.contextmanager
def whole_file(path: Path, hashed: bool = True) -> Iterator[HashingFile]:
    """Open `path` for writing; the name appears only if the block ends without error, with its bytes on disk.

    hashed: whether the sha256 is counted.

    Raises OutputError if it cannot be written. Whatever is raised in the block passes, and the partial file is removed.
    """
    check_local(path)
    partial = path.with_name(f"{path.name}.{process_name()}{PARTIAL}")
    try:
        file = partial.open("wb")
    except OSError as error:
        raise explain(error, path) from error
    try:
        yield HashingFile(file, path, hashed)
        publish(file, partial, path)
    except BaseException:
        with contextlib.suppress(OSError):  # closing flushes, and on a full disk fails once more
            file.close()
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def publish(file: BinaryIO, partial: Path, path: Path) -> None:
    """Sync `file`, then give it its name. Raises OutputError."""
    try:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        partial.replace(path)
    except OSError as error:
        raise explain(error, path) from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a rename on disk; systems that cannot sync folders are left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file whole. Raises OutputError."""
    with whole_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as readable JSON, keys sorted. Raises OutputError."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def hash_file(path: Path) -> str:
    """sha256 of an ordinary file's bytes, in hex. Raises OSError."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
