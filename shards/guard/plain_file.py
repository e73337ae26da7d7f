"""Files from outside, opened only where they are ordinary files: a FIFO hangs whoever opens it, a device never ends."""

from __future__ import annotations

import errno
import io
import os
import stat

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class SpecialFileError(OSError):
    """A path that is no ordinary file: a folder, FIFO, socket or device."""


class FileTooLargeError(OSError):
    """A file with more bytes than the use allows."""


def kind_of(path: str | os.PathLike[str]) -> str:
    """file, folder, FIFO, socket or device, links followed, without opening it. Raises OSError."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    return KINDS.get(stat.S_IFMT(mode), "special file")


def is_plain(path: str | os.PathLike[str]) -> bool:
    """Whether it is an ordinary file, links followed; False where it is not there or may not be looked at."""
    try:
        return kind_of(path) == "file"
    except OSError:
        return False


def open_plain(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open an ordinary file for reading. Raises OSError, SpecialFileError for anything else, which is never opened."""
    kind = kind_of(path)
    if kind != "file":
        raise SpecialFileError(errno.EINVAL, f"it is a {kind}, not a file", os.fspath(path))
    # Without waiting, should the name have come to mean a FIFO since the look.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise SpecialFileError(errno.EINVAL, "it is not a file", os.fspath(path))
    return os.fdopen(handle, "rb")


def read_plain(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """All bytes of an ordinary file of at most `max_bytes`. Raises SpecialFileError, FileTooLargeError, OSError."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise FileTooLargeError(errno.EFBIG, f"{size} bytes, at most {max_bytes} are read", os.fspath(path))
        data = file.read(size + 1)  # a read asks for memory of the size it is told
        if len(data) > size:  # the file may have grown, and files of /proc say 0
            data += file.read(max_bytes + 1 - len(data))
    if len(data) > max_bytes:
        raise FileTooLargeError(errno.EFBIG, f"more than the {max_bytes} bytes that are read", os.fspath(path))
    return data


def size_of(path: str | os.PathLike[str]) -> int:
    """Bytes of an ordinary file, -1 for anything else. Never raises."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1
