"""A run in an object store: made in a folder of this machine as any other, each file put there once it is whole.

    staging/..             what the run writes, as in shards/writer.py; gone when the process ends
    s3://bucket/run/..     the same names; of a shard its tar, then its rejects, then its done mark

What is done is learnt from one listing and the done marks. A listing may be late: what it does not show is made again,
to the same bytes, and what this run has put it knows itself.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shards.build import BuildError, build
from shards.errors import ResumeError, SchemaError
from shards.files import make_folder, write_bytes
from shards.growth import INPUTS, read_inputs
from shards.guard.json_text import parse_object
from shards.locks import Locks, is_held
from shards.marks import Stats
from shards.schema import Codec
from shards.store_claim import CLAIM, StoreClaim
from shards.stores import Address, ObjectStore
from shards.writer import FOLDER, MANIFEST, REJECTS, STATS, TAR, RunInfo, RunWriter, ShardWriter, read_manifest

PREFIX, OWNER = "blemish-run-", ".owner"
"""Of folders in TMPDIR, and the file whose lock says that its process lives."""
YOUNG = 60.0
"""Seconds within which a folder may be one that is just being made."""
READERS = 16
"""Requests at a time where many small objects are read."""
KEPT = 4
"""Tars that stay here until the end, for the sheet and the page."""
ENDED = ("README.md", "croissant.json", REJECTS, "sheet.png", "left_out.jsonl")
"""Written by the end of a run, before its manifest."""


def sweep(folder: Path) -> None:
    """Delete what killed processes left of their runs: folders of ours that nobody holds any more."""
    for one in folder.glob(f"{PREFIX}*"):
        try:
            old = time.time() - one.stat().st_mtime > YOUNG
        except OSError:
            continue
        if old and is_held(one / OWNER, 0) is False:
            shutil.rmtree(one, ignore_errors=True)


def is_listing(folder: Path, source: object) -> bool:
    """Whether the list of inputs that lies in a folder is that of the run's source, as its manifest has it."""
    told = source if isinstance(source, dict) else {}
    items, fingerprint = told.get("items"), told.get("fingerprint")
    return type(items) is not int or read_inputs(folder, items, str(fingerprint)) is not None


class Staged:
    """The place of a run in an object store, and the folder of this machine in which it is made."""

    def __init__(self, address: Address) -> None:
        self.address, self.store = address, ObjectStore(address)
        sweep(Path(tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._mine = Locks(self.folder / OWNER)
        self._mine.take(0)
        self._clean = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        make_folder(self.folder / FOLDER)
        self.pull(MANIFEST)
        if (self.folder / MANIFEST).exists():
            manifest = read_manifest(self.folder / MANIFEST)
            if self.pull(INPUTS) and not is_listing(self.folder, manifest.get("source")):
                (self.folder / INPUTS).unlink()  # put in part by a command that was killed: it is written anew
            last = manifest.get("num_shards")
            if isinstance(last, int):  # whether the last shard may still grow (shards/growth.py)
                self.pull(f"{FOLDER}/{last - 1:05d}.{STATS}")

    def pull(self, name: str) -> bool:
        """Fetch a file if it is there."""
        found = self.store.get(name)
        if found is not None:
            write_bytes(self.folder / name, found[0])
        return found is not None

    def push(self, name: str) -> bool:
        """Put a file if it is here."""
        path = self.folder / name
        if path.is_file():
            self.store.put_file(name, path)
        return path.is_file()


class ObjectRun(RunWriter):
    """A run directory in an object store, opened or resumed; arguments and errors as of RunWriter.

    Several processes must not be at one shard; who works on what is for a claim (shards/store_claim.py) and for the
    engine that hands shards out.
    """

    def __init__(
        self, staged: Staged, info: RunInfo, codec: Codec = "webp", growing: tuple[str, ...] | None = None
    ) -> None:
        self.staged, self.store = staged, staged.store
        self.known: dict[int, Stats] = {}
        self.there: dict[str, int] | None = None
        """Names and sizes of the shards' files as they were listed, None before."""
        self.claim: StoreClaim | None = None
        """Of the one command that works on the run, where this is it."""
        super().__init__(staged.folder, info, codec, growing)

    def _claim(self, growing: tuple[str, ...] | None) -> None:
        manifest, inputs = self.out / MANIFEST, self.out / INPUTS
        if not manifest.exists():
            others = [name for name in self.store.sizes() if name not in (CLAIM, INPUTS)]
            if others and not self.staged.pull(MANIFEST):  # it may have come meanwhile, by another actor
                shown = ", ".join(others[:3])
                raise ResumeError(f"{self.staged.address} holds other objects ({shown}); name an empty folder")
        before = manifest.read_bytes() if manifest.exists() else b""
        listed = inputs.exists()
        super()._claim(growing)
        if before and before != manifest.read_bytes():  # extended: the longer list first (shards/growth.py)
            self.staged.push(INPUTS)
            self.staged.push(MANIFEST)
            return
        if not before:
            self._put_manifest()
        if not listed:
            self.staged.push(INPUTS)

    def _put_manifest(self) -> None:
        """The first manifest, unless another actor was first: then theirs must be ours."""
        data = (self.out / MANIFEST).read_bytes()
        try:
            first = self.store.put_new(MANIFEST, data) is not None
        except NotImplementedError:
            self.store.put(MANIFEST, data)
            return
        if not first and self.staged.pull(MANIFEST):
            changed = self.changed(read_manifest(self.out / MANIFEST))
            if changed:
                raise ResumeError(
                    f"{self.staged.address} holds a run made with something else ({'; '.join(changed[:5])}); "
                    f"choose another folder"
                )

    def done(self, index: int) -> Stats | None:
        """The stats of a shard that is done: as listed, or, where nothing was listed yet, by a look at its mark."""
        if index not in self.known and self.there is None:
            stats = self._stats(index)
            if stats is not None:
                self.known[index] = stats
        return self.known.get(index)

    def todo(self) -> list[int]:
        """Indices of the shards that are not done, in order; lists the run the first time."""
        if self.there is None:
            self.look()
        return super().todo()

    def look(self) -> None:
        """List the run, and read the done marks that it has."""
        self.there = self.store.sizes(FOLDER)
        marks = [index for index in range(self.info.num_shards) if self._name(index, STATS) in self.there]
        with ThreadPoolExecutor(READERS, "marks") as pool:
            for index, stats in zip(marks, pool.map(self._stats, marks), strict=True):
                if stats is not None and self._fits(stats, self.there):
                    self.known[index] = stats

    def _fits(self, stats: Stats, there: dict[str, int]) -> bool:
        """Whether a shard's files are there as its mark has them."""
        tar = there.get(self._name(stats.shard, TAR), 0)
        rejects = there.get(self._name(stats.shard, REJECTS), 0)
        return tar == (stats.size if stats.samples else 0) and bool(rejects) == bool(stats.rejects)

    def _stats(self, index: int) -> Stats | None:
        found = self.store.get(self._name(index, STATS))
        try:
            stats = build(Stats, parse_object(found[0], STATS)) if found else None
        except (SchemaError, BuildError):
            return None
        return stats if stats is not None and stats.shard == index else None

    @staticmethod
    def _name(index: int, suffix: str) -> str:
        return f"{FOLDER}/{index:05d}.{suffix}"

    def _shard(self, index: int) -> Iterator[ShardWriter]:
        for suffix in (STATS, REJECTS, TAR):  # what does not fit together is not trusted
            if self._name(index, suffix) in (self.there or {}):
                self.store.delete(self._name(index, suffix))
        yield from super()._shard(index)
        stats = RunWriter.done(self, index)
        assert stats is not None
        for suffix in (TAR, REJECTS, STATS):
            self.staged.push(self._name(index, suffix))
        self.known[index] = stats
        if len(list(self.folder.glob(f"*.{TAR}"))) > KEPT:
            self.path(index, TAR).unlink(missing_ok=True)

    def _check_current(self) -> None:
        if self.claim is not None:
            self.claim.check()

    def _finalise(self) -> dict[str, Any]:
        if self.claim is not None:
            self.claim.check()
        stats = self.stats()
        rejects = [self._name(one.shard, REJECTS) for one in stats if one.rejects]
        with ThreadPoolExecutor(READERS, "rejects") as pool:
            missing = [name for name in rejects if not (self.out / name).exists()]
            for name, there in zip(missing, pool.map(self.staged.pull, missing), strict=True):
                if not there:
                    raise ResumeError(f"{self.staged.address / name} is gone; run the same command again")
        return super()._finalise()

    @property
    def place(self) -> object:
        return self.staged.address

    def before_end(self) -> None:
        """Learn of the shards that others made, without a listing, which may be late; have a few tars here to show."""
        unknown = [index for index in range(self.info.num_shards) if index not in self.known]
        with ThreadPoolExecutor(READERS, "marks") as pool:
            found = [stats for stats in pool.map(self._stats, unknown) if stats is not None]
        self.known.update({stats.shard: stats for stats in found})
        self.there = self.there or {}
        here = len(list(self.folder.glob(f"*.{TAR}")))
        for one in [one for one in self.stats() if one.samples][: max(0, KEPT - here)]:
            path = self.path(one.shard, TAR)
            if not path.exists():
                partial = path.with_suffix(".fetched")
                self.store.get_file(self._name(one.shard, TAR), partial)
                partial.replace(path)

    def after_end(self) -> None:
        """Put what the end of a run wrote; the manifest, which then lists the shards, last."""
        view = [path.relative_to(self.out).as_posix() for path in sorted((self.out / "view").rglob("*"))]
        for name in (*ENDED, *view, MANIFEST):
            self.staged.push(name)
