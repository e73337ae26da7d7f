"""What lies where in shards: one strict pass over a tar's headers, kept beside the tars, and checked when it is read.

A tar that is no shard of this project (a foreign member, a key of another form, a member twice) is refused as a whole.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from shards.errors import OutputError, SchemaError
from shards.files import write_bytes
from shards.guard.arrays import Form, lines_of, load_arrays, pack_arrays, text_bytes
from shards.guard.plain_file import open_plain, size_of
from shards.guard.tar_walk import BLOCK, TarMember, TarWalk, checksum_holds, short_name, walk_file
from shards.schema import CODECS, KEY_PATTERN, MASK_MEMBER, META_MEMBER

MEMBERS: tuple[str, ...] = (META_MEMBER, MASK_MEMBER, *CODECS, *(f"source.{codec}" for codec in CODECS))
SLOTS = {name: slot for slot, name in enumerate(MEMBERS)}
INDEX_NAME, INDEX_VERSION = ".index.npz", 2
KEY_BYTES = 19
SAMPLE_BYTES = KEY_BYTES + 16 * len(MEMBERS) + 4
"""Of the index, for each sample; each sample takes a block of its tar at least."""
MAX_INDEX = 1 << 29
"""Largest index that is kept and read, in bytes: three million samples."""
LOOKS = 4
"""Samples of each shard, at most, whose headers are looked at where the index says they are."""
Spans = NDArray[np.int64]
FORMS = {
    "stamp": Form("uint8", (None,)),
    "keys": Form("S", (None,)),
    "spans": Form("int64", (None, len(MEMBERS), 2)),
    "shards": Form("int32", (None,)),
}


@dataclass(frozen=True)
class ShardIndex:
    """The samples of the shards of one folder, in order."""

    stamp: NDArray[np.uint8]
    """Names, sizes and times of the tars, as text."""
    keys: NDArray[Any]
    """Sample keys as numpy bytes."""
    spans: Spans
    """int64 [sample, member of MEMBERS, (offset, size)], -1 where a member is absent."""
    shards: NDArray[np.int32]
    """Place of each sample's tar in the list of tars."""


def scan_shard(path: Path) -> tuple[list[str], Spans]:
    """Keys of one tar and int64 [sample, member of MEMBERS, (offset, size)], -1 where a member is absent.

    Raises SchemaError for a damaged tar, a foreign member, a member that appears twice, a key of another form.
    """
    try:
        with open_plain(path) as file:
            return scan_walk(walk_file(file), path)
    except OSError as error:
        reason = error.strerror or error
        raise SchemaError(f"{path}: not a readable tar ({reason}); make it again or delete it") from error


def scan_walk(walk: TarWalk, path: object) -> tuple[list[str], Spans]:
    """As `scan_shard`, of a walk over the tar that `path` names. What the walk's reading raises passes."""
    keys: list[str] = []
    rows: list[list[tuple[int, int]]] = []
    row: list[tuple[int, int]] = []
    for member in walk:
        key, _, extension = member.name.partition(".")
        slot = SLOTS.get(extension)
        if slot is None or member.kind != "file":
            also = "" if member.kind == "file" else f"is a {member.kind}, "
            raise SchemaError(f"{path}: member {shown(member)} {also}is not one of {', '.join(MEMBERS)}")
        if not keys or keys[-1] != key:
            if not KEY_PATTERN.fullmatch(key):
                raise SchemaError(f"{path}: member {shown(member)} has no key of the form 00000_00000")
            keys.append(key)
            row = [(-1, -1)] * len(MEMBERS)
            rows.append(row)
        if row[slot][0] >= 0:
            raise SchemaError(f"{path}: member {shown(member)} appears twice; make it again or delete it")
        row[slot] = member.data_offset, member.size
    if walk.problem:
        raise SchemaError(f"{path}: {walk.problem}; make it again or delete it")
    return keys, np.array(rows, np.int64).reshape(-1, len(MEMBERS), 2)


def shown(member: TarMember) -> str:
    """A member's name for a message."""
    return ascii(member.name[:80])


class Placed(Protocol):
    """A path, or a tar in an object store: what lies in a folder."""

    @property
    def parent(self) -> Any: ...


P = TypeVar("P", bound=Placed)


def group_by_folder(paths: list[P]) -> list[tuple[Any, list[P]]]:
    """Runs of neighbouring paths that share a folder: (folder, paths)."""
    groups: list[tuple[Any, list[P]]] = []
    for path in paths:
        if groups and groups[-1][0] == path.parent:
            groups[-1][1].append(path)
        else:
            groups.append((path.parent, [path]))
    return groups


def load_index(folder: Path, paths: list[Path], cache: bool) -> ShardIndex:
    """The index of these tars: the kept one where it was made from exactly these files and fits them, else anew.

    Raises SchemaError (see `scan_shard`).
    """
    stamp = text_bytes([*map(stamp_of, paths), str(INDEX_VERSION)])
    if cache:
        kept = read_index(folder / INDEX_NAME, paths)
        if kept is not None and np.array_equal(kept.stamp, stamp):
            return kept
    scanned = [scan_shard(path) for path in paths]
    index = ShardIndex(
        stamp=stamp,
        keys=np.array([key for keys, _ in scanned for key in keys], dtype=np.bytes_),
        spans=np.concatenate([spans for _, spans in scanned]),
        shards=np.repeat(np.arange(len(paths), dtype=np.int32), [len(keys) for keys, _ in scanned]),
    )
    if cache and len(index.keys) * SAMPLE_BYTES < MAX_INDEX:
        with contextlib.suppress(OutputError):
            write_bytes(folder / INDEX_NAME, pack_arrays(asdict(index)))
    return index


def stamp_of(path: Path) -> str:
    """What changes when a tar does. Raises SchemaError where it is gone."""
    try:
        facts = path.stat()
    except OSError as error:
        raise SchemaError(f"{path} cannot be read ({error.strerror or error})") from error
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"


def read_index(path: Path, paths: list[Path]) -> ShardIndex | None:
    """A kept index of these tars, or None if there is none, it is damaged, or it says what cannot be."""
    sizes = np.array([max(size_of(tar), 0) for tar in paths], np.int64)
    most = (1 << 16) + 400 * len(paths) + int(sizes.sum()) // BLOCK * SAMPLE_BYTES
    loaded = load_arrays(path, FORMS, min(most, MAX_INDEX))
    if loaded is None:
        return None
    index = ShardIndex(**loaded)
    return index if fits(index, sizes) and is_found(index, paths) else None


def fits(index: ShardIndex, sizes: NDArray[np.int64]) -> bool:
    """Whether the arrays agree with each other and with the sizes of the tars in bytes."""
    count = len(index.shards)
    if len(index.keys) != count or len(index.spans) != count or len(lines_of(index.stamp)) != len(sizes) + 1:
        return False
    if not count:
        return True
    if not are_keys(index.keys):
        return False
    offsets, lengths = index.spans[:, :, 0], index.spans[:, :, 1]
    there = offsets >= 0
    absent = (offsets == -1) & (lengths == -1)
    if not (there & (offsets % BLOCK == 0) & (lengths >= 0) | absent).all() or not there.any(axis=1).all():
        return False
    if int(index.shards.min()) < 0 or int(index.shards.max()) >= len(sizes) or (np.diff(index.shards) < 0).any():
        return False
    limit = sizes[index.shards]
    if (offsets > limit[:, None]).any() or (lengths > limit[:, None]).any():
        return False
    # Samples lie one behind the other, each behind a header.
    first = np.where(there, offsets, np.iinfo(np.int64).max).min(axis=1)
    last = (offsets + lengths).max(axis=1)
    following = index.shards[1:] == index.shards[:-1]
    return bool((first >= BLOCK).all() and (last <= limit).all() and (first[1:] > last[:-1])[following].all())


def are_keys(keys: NDArray[Any]) -> bool:
    """Whether all are digits, one underscore, and zeros behind; `decode_sample` looks at each more closely."""
    size = keys.dtype.itemsize
    if size > KEY_BYTES:
        return False
    codes = keys.view(np.uint8).reshape(-1, size)
    mark = codes == ord("_")
    end = codes == 0
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    return bool((mark | end | digit).all() and (mark.sum(axis=1) == 1).all() and not (end[:, :-1] & ~end[:, 1:]).any())


def is_found(index: ShardIndex, paths: list[Path]) -> bool:
    """Whether a few samples of each shard are where the index says."""
    starts = np.searchsorted(index.shards, np.arange(len(paths) + 1)).tolist()
    for path, start, stop in zip(paths, starts, starts[1:], strict=False):
        if start == stop:
            continue
        try:
            with open_plain(path) as file:
                rows = {start, stop - 1, *range(start, stop, max(1, (stop - start) // LOOKS))}
                if not all(header_fits(file, index, row) for row in rows):
                    return False
        except OSError:
            return False
    return True


def header_fits(file: BinaryIO, index: ShardIndex, row: int) -> bool:
    """Whether the block before each member of the sample is its header."""
    for name, (offset, _) in zip(MEMBERS, index.spans[row].tolist(), strict=True):
        header = os.pread(file.fileno(), BLOCK, offset - BLOCK) if offset >= BLOCK else b""
        named = bytes(index.keys[row]) + b"." + name.encode()
        if offset >= 0 and not (checksum_holds(header) and short_name(header) == named):
            return False
    return True
