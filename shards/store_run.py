"""A run, a folder of tars or a tar in an object store, for who reads: its tars, and its small files on this machine.

One listing says what is there. How many samples a tar has and what its sha256 is stand in the manifest of a finished
run, else in the shard's done mark; of tars without either a look at their headers says the first.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shards.build import BuildError, build
from shards.errors import MissingInputError, SchemaError
from shards.files import ADDRESS, make_folder, write_bytes
from shards.guard.json_text import TABLE, parse_object
from shards.guard.tar_walk import BLOCK
from shards.marks import Stats
from shards.store_cache import ShardCache
from shards.store_reads import Listed, Reads, ReadStore
from shards.store_tar import StoredTar
from shards.stores import URL, Address

READERS = 16
"""Requests at a time where many small objects are read."""
MANIFEST, REJECTS, FOLDER, CLAIM = "manifest.json", "rejects.jsonl", "shards", "claim.json"
MARK, INPUTS = "stats.json", "inputs.jsonl"
SMALL = re.compile(rf"{FOLDER}/[0-9]{{5,9}}\.({re.escape(MARK)}|{re.escape(REJECTS)})")
"""Objects whose names are taken over as names of files."""
PLAIN_TAR = re.compile(r"[^/]+\.tar")


def address_of(where: str | Path | Address) -> Address | None:
    """The address that a text, or a path made of it (which loses a slash), means; None where it is a place here.

    Raises MissingInputError for an address that shards cannot be read from.
    """
    if isinstance(where, Address):
        return where
    found = ADDRESS.match(str(where))
    if not found:
        return None
    text = f"{found['scheme']}://{str(where)[found.end() :].rstrip('/')}"
    if not URL.fullmatch(text):
        raise MissingInputError(
            f"shards {text[:200]} cannot be read from there; name a folder in a bucket (s3://bucket/run, "
            f"gs://.., az://..), or fetch them into a folder of this machine (docs/how-to/object_stores.md)"
        )
    return Address(text)


def place(text: str) -> Path | Address:
    """What an argument of a command names to read from: a path of this machine, or an address that can be read."""
    return address_of(text) or Path(text)


def find_stored(address: Address, whole: bool = False) -> list[StoredTar]:
    """The tars of a run, a folder of tars, a tar, or a glob, in order. whole: see StoredTar.

    Raises MissingInputError where there are none, SourceError where the store cannot be reached.
    """
    if glob.has_magic(address.name):
        folder, pattern = address.parent, address.name
        found = open_folder(folder)
        found = Opened(found.reads, found.store, {n: one for n, one in found.tars.items() if matches(n, pattern)})
    else:
        found = open_folder(address)
    if not found.tars:
        raise MissingInputError(f"no shards in {address}; expected {address}/{FOLDER}/*.tar or {address}/*.tar")
    known = found.known()
    cache = ShardCache()
    return [
        StoredTar(found.reads, name, listed, cache, *known.get(name, (-1, "")), whole)
        for name, listed in found.tars.items()
    ]


def matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)


class Opened:
    """What lies at an address: its tars, and the other objects of its folder of shards."""

    def __init__(
        self, reads: Reads, store: ReadStore, tars: dict[str, Listed], others: dict[str, Listed] | None = None
    ) -> None:
        self.reads, self.store, self.tars, self.others = reads, store, tars, others or {}

    def known(self) -> dict[str, tuple[int, str]]:
        """(samples, sha256) of the tars of which that is stated."""
        known = manifest_facts(self.store)
        unknown = [name for name in self.tars if name not in known and f"{name[:-4]}.{MARK}" in self.others]
        with ThreadPoolExecutor(READERS, "marks") as pool:
            for name, facts in zip(unknown, pool.map(self._marked, unknown), strict=True):
                if facts is not None:
                    known[name] = facts
        return {name: facts for name, facts in known.items() if name in self.tars and self._fits(name, facts[0])}

    def _fits(self, name: str, samples: int) -> bool:
        """Whether a tar can have so many samples: each has a header at least."""
        return 0 < samples <= self.tars[name].size // BLOCK

    def _marked(self, name: str) -> tuple[int, str] | None:
        found = self.store.get(f"{name[:-4]}.{MARK}")
        try:
            stats = build(Stats, parse_object(found[0], MARK)) if found else None
        except (SchemaError, BuildError):
            return None
        # Of a tar of another size it is the mark of before, or of after: the shard is being made again.
        fits = stats is not None and stats.size in (-1, self.tars[name].size)
        return (stats.samples, stats.sha256) if stats is not None and fits else None


def open_folder(address: Address) -> Opened:
    """List a run, else a folder of tars, else look for a tar."""
    store, reads = ReadStore(address), Reads(address)
    inside = store.listed(FOLDER)
    tars = {name: one for name, one in inside.items() if PLAIN_TAR.fullmatch(name.removeprefix(f"{FOLDER}/"))}
    if tars:
        return Opened(reads, store, tars, inside)
    here = store.listed(deep=False)
    tars = {name: one for name, one in here.items() if PLAIN_TAR.fullmatch(name)}
    if not tars and address.name.endswith(".tar") and URL.fullmatch(address.parent.url):
        return open_tar(address)
    return Opened(reads, store, tars, here)


def open_tar(address: Address) -> Opened:
    """One object."""
    store = ReadStore(address.parent)
    found, mark = store.head(address.name), f"{address.name[:-4]}.{MARK}"
    listed = store.head(mark) if found else None
    return Opened(
        Reads(address.parent), store, {address.name: found} if found else {}, {mark: listed} if listed else {}
    )


def manifest_facts(store: ReadStore) -> dict[str, tuple[int, str]]:
    """Tar -> (samples, sha256) as the manifest of a finished run has them; empty where there is none."""
    found = store.get(MANIFEST)
    try:
        shards: Any = parse_object(found[0], MANIFEST, limits=TABLE).get("shards", []) if found else []
    except SchemaError:  # `check` says so
        return {}
    known: dict[str, tuple[int, str]] = {}
    for one in shards if isinstance(shards, list) else []:
        if isinstance(one, dict):
            name, samples, sha256 = one.get("name"), one.get("samples"), one.get("sha256")
            if isinstance(name, str) and type(samples) is int and isinstance(sha256, str):
                known[name] = samples, sha256
    return known


@contextmanager
def local_files(where: str | Path | Address, marks: bool = False) -> Iterator[Path]:
    """The folder of a run, or, where it lies in a store, one with its small files (`small_files`)."""
    address = address_of(where)
    if address is None:
        yield Path(str(where))
        return
    with small_files(address, marks) as folder:
        yield folder


@contextmanager
def small_files(where: Address, marks: bool = True) -> Iterator[Path]:
    """A folder with a run's manifest, inputs, rejects and, unless it is finished, its shards' rejects and done marks.

    It lasts until the block ends. marks: take the done marks of a finished run too. Raises MissingInputError where the
    bucket is not there, SourceError where the store cannot be reached.
    """
    store = ReadStore(where)
    with TemporaryDirectory(prefix="blemish-read-") as name:
        folder = Path(name)
        make_folder(folder / FOLDER)
        there = [MANIFEST] if pull(store, folder, MANIFEST) else []
        if there:
            pull(store, folder, INPUTS)
            finished = pull(store, folder, REJECTS)
            inside = [one for one in store.listed(FOLDER) if SMALL.fullmatch(one)]
            wanted = [one for one in inside if not finished or (marks and one.endswith(MARK))]
            with ThreadPoolExecutor(READERS, "small") as pool:
                for _ in pool.map(lambda one: pull(store, folder, one), wanted):
                    pass
        yield folder


def pull(store: ReadStore, folder: Path, name: str) -> bool:
    """Fetch an object into the folder if it is there."""
    found = store.get(name)
    if found is not None:
        write_bytes(folder / name, found[0])
    return found is not None
