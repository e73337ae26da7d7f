"""What lies where in a tar: one pass over its headers, kept as a file, so that pictures are read by range ever after.

The pass reads no pictures: it goes from header to header and takes the first kilobytes of each picture (its size in
pixels is there) and small JSON records along. Over a network that is about one request a sample. What it has found is
saved every now and then, so that a pass that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import OutputError, UserError
from shards.files import make_folder, write_bytes
from shards.locks import Locks
from shards.sources.heads import LONG_HEAD, head_sides, record_sides
from shards.sources.stores import StoredFile

VERSION = 1
IMAGE_MEMBERS = ("webp", "png", "jpg", "jpeg")
PARTS = ("image", "json", "txt")
LOCAL_CHUNK, REMOTE_CHUNK = 1 << 13, 1 << 14
HEAD, MAX_RECORD, MAX_READ = 1 << 12, 1 << 16, 1 << 26
SAVE_SECONDS = 30.0


@dataclass(frozen=True)
class TarIndex:
    """The samples of one tar, in its order; flat arrays, because there may be a million."""

    stamp: str
    """Of the tar that this describes."""
    names: NDArray[np.uint8]
    """All names, one after another, as bytes (nearly always UTF-8): the part of the path before the extension."""
    ends: NDArray[np.int64]
    """Where each name ends in `names`."""
    spans: NDArray[np.int64]
    """[sample, part of PARTS, (offset, size)], -1 where there is none."""
    sides: NDArray[np.int32]
    """[sample, (width, height)] in pixels as the picture's head says, else its JSON; 0, 0 where neither does."""
    kinds: NDArray[np.int32]
    """Place in `kind_names` of the sample's extensions."""
    kind_names: tuple[str, ...]
    """Extensions of all members of a sample, joined by commas."""
    problem: str
    """Why the tar cannot be read beyond these samples; "" where it ends well."""
    resume_at: int
    """Offset of the first header that is not in here; -1 when the pass is over."""

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, row: int) -> str:
        """A sample's name; what is no UTF-8 is spelt out, so that it can be written into JSON."""
        return self.raw_name(row).decode("utf-8", "backslashreplace")

    def raw_name(self, row: int) -> bytes:
        start = int(self.ends[row - 1]) if row else 0
        return self.names[start : int(self.ends[row])].tobytes()

    @property
    def complete(self) -> bool:
        return self.resume_at < 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a file that is read without unpickling."""
        arrays = {name: getattr(self, name) for name in ("names", "ends", "spans", "sides", "kinds")}
        text = np.array([self.stamp, self.problem, *self.kind_names])
        return {**arrays, "text": text, "numbers": np.array([VERSION, self.resume_at])}


def index_of(stored: dict[str, NDArray[Any]]) -> TarIndex:
    """The inverse of `TarIndex.arrays`. Raises ValueError, IndexError or KeyError where it is damaged."""
    arrays = {name: stored[name] for name in ("names", "ends", "spans", "sides", "kinds")}
    stamp, problem, *kind_names = (str(text) for text in stored["text"])
    version, resume_at = (int(number) for number in stored["numbers"])
    count = len(arrays["ends"])
    shapes = {"spans": (count, len(PARTS), 2), "sides": (count, 2), "kinds": (count,)}
    if version != VERSION or any(arrays[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("another version, or damaged")
    if count and (arrays["ends"][-1] != len(arrays["names"]) or arrays["kinds"].max() >= len(kind_names)):
        raise ValueError("damaged")
    return TarIndex(stamp=stamp, **arrays, kind_names=tuple(kind_names), problem=problem, resume_at=resume_at)


class Draft:
    """An index that is being made; goes on from one that was not complete."""

    def __init__(self, stamp: str, begun: TarIndex | None = None) -> None:
        self.stamp, self.problem, self.resume_at = stamp, "", 0
        self.names: list[bytes] = []
        self.spans: list[list[tuple[int, int]]] = []
        self.sides: list[tuple[int, int]] = []
        self.kinds: list[str] = []
        if begun is not None:
            self.resume_at = begun.resume_at
            self.names = [begun.raw_name(row) for row in range(len(begun))]
            self.spans, self.sides = begun.spans.tolist(), begun.sides.tolist()
            self.kinds = [begun.kind_names[kind] for kind in begun.kinds]

    def index(self) -> TarIndex:
        """What there is so far."""
        kinds = sorted(set(self.kinds))
        places = {kind: place for place, kind in enumerate(kinds)}
        return TarIndex(
            stamp=self.stamp,
            names=np.frombuffer(b"".join(self.names), np.uint8),
            ends=np.cumsum([len(name) for name in self.names], dtype=np.int64),
            spans=np.array(self.spans, np.int64).reshape(-1, len(PARTS), 2),
            sides=np.array(self.sides, np.int32).reshape(-1, 2),
            kinds=np.array([places[kind] for kind in self.kinds], np.int32),
            kind_names=tuple(kinds),
            problem=self.problem,
            resume_at=self.resume_at,
        )


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
        found = load_index(path, file.stamp)
        if found is not None and found.complete:
            return found
        try:
            make_folder(path.parent)
            locks = Locks(path.with_name(path.name + ".lock"))
            locks.wait(0)
        except OutputError:
            continue
        found = load_index(path, file.stamp)  # another process may have made it meanwhile
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


def load_index(path: Path, stamp: str) -> TarIndex | None:
    """A stored index of exactly this tar, or None. Never unpickles."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            index = index_of(dict(stored))
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None
    return index if index.stamp == stamp else None


def save_index(path: Path, draft: Draft) -> None:
    """Keep an index; a full disk is no reason to stop, the next start makes it again."""
    buffer = io.BytesIO()
    np.savez(buffer, **draft.index().arrays())  # type: ignore[arg-type]
    with contextlib.suppress(OutputError):
        write_bytes(path, buffer.getvalue())


class RangeView:
    """A file for tarfile: seeks cost nothing, and what lies close together is read at once."""

    def __init__(self, file: StoredFile, position: int) -> None:
        self.file, self.position = file, position
        self.chunk = REMOTE_CHUNK if file.remote else LOCAL_CHUNK
        self._start, self._data = 0, b""

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end of the file."""
        if size > MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes at byte {offset}")
        start = offset - self._start
        if start < 0 or start + size > len(self._data):
            self._start, self._data = offset, self.file.read(offset, max(size, self.chunk))
            start = 0
        return self._data[start : start + size]

    def read(self, size: int) -> bytes:
        data = self.at(self.position, size)
        self.position += len(data)
        return data

    def seek(self, position: int) -> None:
        self.position = position

    def tell(self) -> int:
        return self.position


@dataclass
class _Group:
    """Members of one sample on their way into the index."""

    name: str
    offset: int
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)


def make_index(
    file: StoredFile, draft: Draft, save: Callable[[Draft], None], progress: Callable[[int], None]
) -> TarIndex:
    """Go on with `draft` to the end of the tar or to its first damage, saving it now and then."""
    view = RangeView(file, draft.resume_at)
    group: _Group | None = None
    saved = time.monotonic()
    try:
        with tarfile.open(fileobj=view, mode="r:") as tar:  # type: ignore[call-overload]
            for member in tar:
                stem, extension = split_member(member.name)
                if not member.isfile() or not extension or extension.startswith("."):
                    continue
                if group is None or stem != group.name:
                    add_group(draft, group, view)
                    group = _Group(stem, member.offset)
                    draft.resume_at = member.offset
                    progress(member.offset)
                    if time.monotonic() - saved > SAVE_SECONDS:
                        save(draft)
                        saved = time.monotonic()
                take_member(group, member, extension, view)
                if member.offset_data + member.size > file.size:
                    draft.problem = f"member {member.name} ends beyond the end of the file"
                    break
            else:
                draft.problem = damage_at(view, tar.offset)
    except (tarfile.TarError, OSError, ValueError) as error:
        if isinstance(error, UserError):
            save(draft)
            raise
        draft.problem = str(error)
    add_group(draft, group, view)
    if draft.problem:
        draft.problem += compression(view)
    draft.resume_at = -1
    save(draft)
    progress(file.size)
    return draft.index()


def compression(view: RangeView) -> str:
    """A hint where a tar is compressed."""
    with contextlib.suppress(OSError):
        if view.at(0, 6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
            return "; unpack it first, compressed tars cannot be read by position"
    return ""


def take_member(group: _Group, member: tarfile.TarInfo, extension: str, view: RangeView) -> None:
    """Note where a member lies, and what is at hand of it."""
    group.members[extension] = member.offset_data, member.size
    if extension in IMAGE_MEMBERS:
        group.heads[extension] = view.at(member.offset_data, min(member.size, HEAD))
    elif extension == "json" and member.size <= MAX_RECORD:
        group.heads[extension] = view.at(member.offset_data, member.size)


def add_group(draft: Draft, group: _Group | None, view: RangeView) -> None:
    """A finished group becomes a row."""
    if group is None:
        return
    image = next((name for name in IMAGE_MEMBERS if name in group.members), "")
    parts = [group.members.get(part, (-1, -1)) for part in (image, "json", "txt")]
    sides = head_sides(group.heads.get(image, b"")) or record_sides(group.heads.get("json", b""))
    if sides is None and image:
        offset, size = group.members[image]
        with contextlib.suppress(OSError):
            sides = head_sides(view.at(offset, min(size, LONG_HEAD)))
    draft.names.append(group.name.encode("utf-8", "surrogateescape"))
    draft.spans.append(parts)
    draft.sides.append(sides or (0, 0))
    draft.kinds.append(",".join(sorted(group.members)))


def split_member(name: str) -> tuple[str, str]:
    """ "a/b.c/x.source.webp" -> ("a/b.c/x", "source.webp"); extensions in lower case."""
    folder, base = os.path.split(name)
    stem, _, extension = base.partition(".")
    return os.path.join(folder, stem), extension.lower()


def damage_at(view: RangeView, end: int) -> str:
    """What is wrong where tarfile stopped: it takes damage for the end, but the end is a block of zeros."""
    block = view.at(end, tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return f"the tar ends at byte {end} without an end mark"
    return f"damaged header at byte {end}" if block.strip(b"\0") else ""
