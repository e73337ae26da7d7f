"""Files that Git left as pointers because Git LFS was not used."""

from __future__ import annotations

import os
from pathlib import Path

from shards.errors import SourceError
from shards.guard.plain_file import open_plain

POINTER = b"version https://git-lfs"


def refuse_pointer(path: Path) -> None:
    """Raise SourceError if `path` is the pointer that Git leaves where Git LFS was not used, or cannot be read."""
    try:
        with open_plain(path) as file:
            head, size = file.read(len(POINTER)), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error})") from error
    if head == POINTER:
        raise SourceError(
            f"{path} is a Git LFS pointer of {size} bytes, not the data; "
            "install Git LFS and run `git lfs pull` in that checkout"
        )
