"""Who works on what in one folder: numbered locks that the operating system takes back when their holder ends.

Byte n of the lock file is lock n (POSIX record locks, fcntl). The kernel frees them however the process ends, so a
killed process leaves nothing to clean up and nothing is judged by its age. NFS, GPFS and Lustre (mounted with `flock`)
hold them between machines. Where a file system has none, `work` is False and nothing is locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
import time
from pathlib import Path
from weakref import WeakValueDictionary

from shards.files import explain

POLL_SECONDS = 0.1
FLOCK = "hhqqi4x"
"""`struct flock` of Linux on 64 bits: type, whence, start, length, process."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class _Handle:
    """The lock file, opened once in a process: closing any descriptor of a file drops all its locks."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self.owners: dict[int, int] = {}
        """Lock -> id of the Locks in this process that holds it."""

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


_HANDLES: WeakValueDictionary[tuple[int, int], _Handle] = WeakValueDictionary()
_GUARD = threading.RLock()  # collecting garbage may release locks in the middle of taking one


class Locks:
    """Locks 0, 1, 2, .. of the file `path`, which is created when the first is taken.

    Two objects of one process exclude each other as two processes do; threads that share one object do not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = True
        """False once the file system has said that it has no locks."""
        self._handle: _Handle | None = None

    def take(self, number: int) -> bool:
        """Take lock `number` now; False if somebody else holds it, True again where it is ours. Raises OutputError."""
        with _GUARD:
            try:
                handle = self._open()
                owner = handle.owners.get(number)
                if owner is not None:
                    return owner == id(self)
                if self.work:
                    fcntl.lockf(handle.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.EACCES and self._handle is not None:  # what some systems say for "held"
                    return False
                if error.errno not in NO_LOCKS:
                    raise explain(error, self.path) from error
                self.work = False
            handle.owners[number] = id(self)
            return True

    def release(self, number: int) -> None:
        """Let go of lock `number`; nothing happens where it is not ours."""
        with _GUARD:
            if self._handle is None or not self.holds(number):
                return
            del self._handle.owners[number]
            if self.work:
                fcntl.lockf(self._handle.descriptor, fcntl.LOCK_UN, 1, number)

    def holds(self, number: int) -> bool:
        """Whether this object has lock `number`."""
        return self._handle is not None and self._handle.owners.get(number) == id(self)

    def wait(self, number: int) -> bool:
        """Take lock `number`, however long that lasts; True where somebody else had it. Raises OutputError."""
        waited = False
        while True:
            if self.take(number):
                if self._is_current():
                    return waited
                self.release(number)  # the file was removed meanwhile: its lock excludes nobody
                with _GUARD:
                    self._handle = None
            else:
                waited = True
                time.sleep(POLL_SECONDS)

    def remove(self) -> None:
        """Delete the lock file. Raises OutputError."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, self.path) from error

    def _open(self) -> _Handle:
        if self._handle is None:
            known = _HANDLES.get(_identity(self.path) or (-1, -1))
            self._handle = known or _Handle(self.path)
            status = os.fstat(self._handle.descriptor)
            _HANDLES[status.st_dev, status.st_ino] = self._handle
        return self._handle

    def _is_current(self) -> bool:
        assert self._handle is not None
        status = os.fstat(self._handle.descriptor)
        return _identity(self.path) == (status.st_dev, status.st_ino)

    def __del__(self) -> None:
        for number in [n for n, owner in self._handle.owners.items() if owner == id(self)] if self._handle else []:
            self.release(number)


def is_held(path: Path, number: int) -> bool | None:
    """Whether any process holds lock `number` of the file, without taking it even for a moment.

    False where there is no such file; None where this system cannot say.
    """
    if sys.platform != "linux":
        return None
    with _GUARD:
        known = _HANDLES.get(_identity(path) or (-1, -1))
        if known is not None and number in known.owners:
            return True
        try:
            # A descriptor of one's own would, when it is closed, drop the locks that this process holds in the file.
            handle = known.descriptor if known else os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
            kind: int = struct.unpack(FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, asked))[0]
            return kind != fcntl.F_UNLCK
        except (OSError, struct.error):
            return None
        finally:
            if known is None:
                os.close(handle)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
