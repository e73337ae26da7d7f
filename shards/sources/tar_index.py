"""The index of a tar: made in one pass over its headers (tar_scan.py), kept as a file, read by range ever after.

The pass reads no pictures: it goes from header to header and takes the first kilobytes of each picture (its size in
pixels is there) and small JSON records along. Over a network that is about one request a sample. What it has found is
saved every now and then, so that a pass that was stopped resumes where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shards.errors import OutputError
from shards.files import make_folder, write_bytes
from shards.guard.arrays import load_arrays, pack_arrays
from shards.guard.tar_walk import BLOCK, checksum_holds
from shards.locks import Locks
from shards.sources.remote_files import StoredFile
from shards.sources.tar_scan import make_index
from shards.sources.tar_table import FORMS, PARTS, Draft, TarIndex, index_of

MAX_INDEX = 1 << 29
"""Largest index file that is read, in bytes: about five million samples."""
LOOKS = 4
"""Pictures of a local tar whose headers are looked at where the index says they are."""


def open_index(file: StoredFile, where: str = "", progress: Callable[[int], None] = lambda position: None) -> TarIndex:
    """The index of a tar: read from its file, or made and kept there.

    Args:
        where: a folder for index files; "" for beside a local tar, else (and for remote ones) the user's cache folder;
            "none" keeps nothing.
        progress: is called with the byte position in the tar.

    Several processes that ask for one index make it once. Raises SourceError where a remote tar cannot be read.
    """
    if where == "none":
        return make_index(file, Draft(file.stamp), lambda draft: None, progress)
    for path in index_paths(file, where):
        found = load_index(path, file)
        if found is not None and found.complete:
            return found
        try:
            make_folder(path.parent)
            locks = Locks(path.with_name(path.name + ".lock"))
            locks.wait(0)
        except OutputError:
            continue
        found = load_index(path, file)  # another process may have made it meanwhile
        if found is None or not found.complete:
            draft = Draft(file.stamp, found)
            found = make_index(file, draft, lambda draft, path=path: save_index(path, draft), progress)  # type: ignore[misc]
        with contextlib.suppress(OutputError):
            locks.remove()
        return found
    return make_index(file, Draft(file.stamp), lambda draft: None, progress)


def index_paths(file: StoredFile, where: str) -> list[Path]:
    """Where the index of a tar may be, the first that can be written counts."""
    digest = hashlib.sha256(os.path.abspath(file.address).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    remote = hashlib.sha256(file.address.encode()).hexdigest()[:16]
    cached = f"{remote if file.remote else digest}-{file.name}.index.npz"
    if where:
        return [Path(where) / cached]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blemish" / "tars" / cached
    return [cache] if file.remote else [Path(file.address).with_name(f".{file.name}.index.npz"), cache]


def load_index(path: Path, file: StoredFile) -> TarIndex | None:
    """A stored index of exactly this tar, or None where there is none, or one that does not fit it. Never unpickles."""
    stored = load_arrays(path, FORMS, min(MAX_INDEX, 2 * max(file.size, 0) + (1 << 16)))
    index = index_of(stored, file.size) if stored is not None else None
    if index is None or index.stamp != file.stamp:
        return None
    return index if file.remote or is_found(index, file) else None


def is_found(index: TarIndex, file: StoredFile) -> bool:
    """Whether a few pictures have a header where the index says that they lie."""
    offsets = index.spans[:, PARTS.index("image"), 0]
    offsets = offsets[offsets >= 0]
    places = np.linspace(0, len(offsets) - 1, LOOKS).astype(int) if len(offsets) else ()
    try:
        return all(checksum_holds(file.read(int(offsets[place]) - BLOCK, BLOCK)) for place in places)
    except OSError:
        return False


def save_index(path: Path, draft: Draft) -> None:
    """Keep an index; a full disk is no reason to stop, the next start makes it again."""
    with contextlib.suppress(OutputError):
        write_bytes(path, pack_arrays(draft.index().arrays()))
