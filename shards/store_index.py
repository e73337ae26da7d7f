"""What lies where in a tar of an object store: one strict pass over its headers, kept in the cache of this machine."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shards.errors import SchemaError
from shards.guard.arrays import load_arrays, pack_arrays, text_bytes
from shards.guard.tar_walk import BLOCK, TarWalk
from shards.shard_index import FORMS, INDEX_VERSION, MAX_INDEX, SAMPLE_BYTES, ShardIndex, Spans, fits, scan_walk
from shards.store_tar import StoredTar, Window

SUFFIX = ".index.npz"
READERS = 16
"""Tars whose headers are read at a time."""


def stored_index(tar: StoredTar, keep: bool) -> tuple[NDArray[Any], Spans]:
    """(keys as numpy bytes, spans as of scan_shard) of a tar. keep: look for them in the cache, and put them there.

    Raises SchemaError for what is no shard of ours, or holds another number of samples than its done mark states;
    SourceError where the store cannot be reached.
    """
    stamp = text_bytes([f"{tar.name} {tar.size} {tar.listed.tag}", str(INDEX_VERSION)])
    found = kept_index(tar, stamp) if keep else None
    if found is None:
        walk = TarWalk(Window(tar).read, tar.size)
        keys, spans = scan_walk(walk, tar)
        shards = np.zeros(len(keys), np.int32)
        found = ShardIndex(stamp, np.array(keys, dtype=np.bytes_).reshape(-1), spans, shards)
        if keep and len(keys) * SAMPLE_BYTES < MAX_INDEX:
            keep_index(tar, found)
    if tar.samples not in (-1, len(found.keys)):
        raise SchemaError(
            f"{tar}: holds {len(found.keys)} samples, its done mark or manifest states {tar.samples}; run its command "
            f"again, or look with `blemish check`"
        )
    return found.keys, found.spans


def kept_index(tar: StoredTar, stamp: NDArray[np.uint8]) -> ShardIndex | None:
    """The index in the cache; None where there is none, it is damaged, or it says what cannot be."""
    path = tar.cache.folder / tar.cached_name(SUFFIX)
    loaded = load_arrays(path, FORMS, min((1 << 16) + tar.size // BLOCK * SAMPLE_BYTES, MAX_INDEX))
    index = ShardIndex(**loaded) if loaded is not None else None
    if index is None or not np.array_equal(index.stamp, stamp) or not fits(index, np.array([tar.size], np.int64)):
        return None
    tar.cache.find(path.name, path.stat().st_size)  # it counts as used
    return index


def keep_index(tar: StoredTar, index: ShardIndex) -> None:
    """Put an index into the cache, in place of a damaged one."""
    data, name = pack_arrays(asdict(index)), tar.cached_name(SUFFIX)
    with contextlib.suppress(OSError):
        (tar.cache.folder / name).unlink()

    def write(file: BinaryIO) -> None:
        file.write(data)

    tar.cache.fill(name, len(data), write)
