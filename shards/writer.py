"""Writing a run: shards that are whole or absent, a done mark for each, and a finale that describes the whole.

    OUT/manifest.json              config, hash, source list, and (after `finalise`) every shard with its sha256
    OUT/shards/00000.tar           samples 00000_00000 .. ; absent if every input of the shard was rejected
    OUT/shards/00000.rejects.jsonl inputs of this shard that did not become samples; absent if there are none
    OUT/shards/00000.stats.json    counts, sha256 and size; written last: the shard is done
    OUT/.local.json                where on this machine the places lie that the config names (shards/places.py)
    OUT/inputs.jsonl               the source's listing, where the run may be extended (shards/growth.py)
    OUT/rejects.jsonl, README.md, croissant.json    written by `finalise`

Running again skips the shards that are done and makes the others anew; nothing is appended to, so a kill at any moment
neither loses nor doubles anything. A shard whose stats cannot be read, or whose tar or rejects are gone or shorter than
its stats have them, is not done: whatever happened to its files, running again makes them. (That a whole file
holds other bytes is for `python -m shards check` to find.) Several processes may work in one folder, on any machines: a
shard is locked while it is made (`claims`), and so is the end of the run (`alone`). OUT/.lock is there until the run is
complete.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shards.build import plain
from shards.config import config_hash, differences
from shards.errors import ResumeError
from shards.files import explain, leftover_of, make_folder, process_name, whole_file, write_bytes, write_json
from shards.growth import INPUTS, extend, without_growth, write_inputs
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import read_plain
from shards.locks import Locks
from shards.marks import MAX_REJECTS, Stats, signature_of, sound_stats, total
from shards.masks import ARTIFACT
from shards.places import keep_places
from shards.schema import SCHEMA_VERSION, Codec, Sample, encode_sample, parse_key
from shards.source import Reject

FOLDER, MANIFEST, REJECTS, LOCKS = "shards", "manifest.json", "rejects.jsonl", ".lock"
TAR, STATS = "tar", "stats.json"
END = 1 << 30
"""The lock of the end of a run: no shard has this number, however far the run grows."""


@dataclass(frozen=True)
class RunInfo:
    """What identifies a run: resuming with another one is an error that says what differs."""

    config: Mapping[str, Any]
    """The full generator config as plain values (shards.build.plain of the dataclass)."""
    source: Mapping[str, Any]
    """At least {"name": ..., "items": len(source), "fingerprint": source.fingerprint()}."""
    num_shards: int
    title: str = "Blemish shards"
    licence: str = ""
    ignore: tuple[str, ...] = ()
    """Top-level config keys that may change on resume, such as the device or the number of threads."""
    grown: tuple[Mapping[str, Any], ...] = ()
    """What the run was before each extension (shards/growth.py)."""
    listing: Callable[[], Iterator[str]] | None = None
    """`source.listing`, kept in inputs.jsonl; needed by a run that may be extended."""
    places: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Where on this machine lies what the config has by its name alone (shards/places.py); no part of the identity."""

    def identity(self) -> dict[str, Any]:
        config = {key: value for key, value in plain(self.config).items() if key not in self.ignore}
        facts = {"config": config, "source": plain(self.source), "num_shards": self.num_shards}
        return {**facts, "grown": plain(self.grown)} if self.grown else facts


@dataclass
class ShardWriter:
    """Collects one shard; use through `RunWriter.shard`."""

    index: int
    codec: Codec
    tar: tarfile.TarFile
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    _last_row: int = -1

    def write(self, sample: Sample) -> None:
        """Add a sample; its key must name this shard and rows must grow. Raises SchemaError, OutputError."""
        artifact = bool((sample.mask == ARTIFACT).any())
        self.write_members(sample.key, encode_sample(sample, self.codec), artifact=artifact)

    def write_members(self, key: str, members: Mapping[str, bytes], *, artifact: bool) -> None:
        """Add a sample that `encode_sample` already turned into bytes (in another thread, say)."""
        shard, row = parse_key(key)
        if shard != self.index or row <= self._last_row:
            raise ValueError(f"sample {key} cannot follow row {self._last_row} of shard {self.index}")
        self._last_row = row
        for extension, data in members.items():
            add_member(self.tar, f"{key}.{extension}", data)
        self.counts["samples"] += 1
        self.counts["artifact" if artifact else "clean"] += 1
        self.counts["bytes"] += sum(len(data) for data in members.values())

    def reject(self, reject: Reject, index: int, variant: int = 0) -> None:
        """Record an input that became no sample; `index` is its place in the source."""
        record = {"index": index, "variant": variant, "uri": reject.uri, "reason": reject.reason}
        self.rejects.append({**record, "detail": reject.detail})


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add bytes with nothing of the machine or the hour in the header, so that equal samples give equal tars."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), 0, 0o444
    member.uname = member.gname = ""
    tar.addfile(member, io.BytesIO(data))


class RunWriter:
    """A run directory, opened or resumed.

    Args:
        out: the folder; created if missing.
        info: what the run is made of; compared with the manifest that is there.
        codec: webp and png are lossless; artifact and clean samples always share one codec.
        growing: options of the source that may differ where the run is to be extended; None: it is not to be.

    Raises:
        ResumeError: the folder holds another run, or files that are no run.
        OutputError: it cannot be written.
    """

    def __init__(
        self, out: str | Path, info: RunInfo, codec: Codec = "webp", growing: tuple[str, ...] | None = None
    ) -> None:
        self.out, self.info, self.codec = Path(out), info, codec
        self.folder = self.out / FOLDER
        self.hash = config_hash(info.identity()["config"])
        self._seen: dict[int, tuple[tuple[int, ...], Stats | None]] = {}
        self.locks = Locks(self.out / LOCKS)
        make_folder(self.out)
        self._claim(growing)
        make_folder(self.folder)

    def _claim(self, growing: tuple[str, ...] | None) -> None:
        path = self.out / MANIFEST
        if not path.exists():
            foreign = [name for name in list_folder(self.out) if is_foreign(self.out / name)]
            if foreign and not path.exists():  # it may have come meanwhile, by another process
                raise ResumeError(f"{self.out} holds other files ({', '.join(foreign[:3])}); choose an empty folder")
            write_json_once(path, self.manifest())
        stored = read_manifest(path)
        if growing is not None and self.changed(stored):
            stored = extend(self, growing)
        changed = self.changed(stored)
        if changed:
            changed = self.changed(stored, growing) or changed
            shown = "; ".join(changed[:5]) + ("; ..." if len(changed) > 5 else "")
            hint = ", or take in with --extend what is new" if self.info.listing and growing is None else ""
            raise ResumeError(f"{self.out} holds a run made with something else ({shown}); choose another folder{hint}")
        keep_places(self.out, self.info.places)
        if self.info.listing and not (self.out / INPUTS).exists():
            write_inputs(self.out, self.info.listing())

    def changed(self, stored: Mapping[str, Any], growing: tuple[str, ...] | None = None) -> list[str]:
        """What differs between the run that is there and this one, apart from what an extension may change."""
        mine = {**self.info.identity(), "codec": self.codec}
        there = {key: stored[key] for key in {*mine, "grown"} if key in stored}
        if growing is not None:
            mine, there = without_growth(mine, growing), without_growth(there, growing)
        changed = differences(there, mine)
        if stored.get("schema_version") != SCHEMA_VERSION:
            changed.append(f"schema_version: {stored.get('schema_version')} there, {SCHEMA_VERSION} now")
        return changed

    def manifest(self) -> dict[str, Any]:
        return {
            **self.info.identity(),
            "schema_version": SCHEMA_VERSION,
            "config_hash": self.hash,
            "codec": self.codec,
            "title": self.info.title,
            "licence": self.info.licence,
            **({"places": sorted(self.info.places)} if self.info.places else {}),
        }

    @property
    def place(self) -> object:
        """Where the run is, for people."""
        return self.out

    def before_end(self) -> None:
        """Have what the end of the run looks at."""

    def after_end(self) -> None:
        """All files of the run are written."""

    def path(self, index: int, suffix: str) -> Path:
        """Path of a file of shard `index`; suffix is tar, rejects.jsonl or stats.json."""
        return self.folder / f"{index:05d}.{suffix}"

    def is_done(self, index: int) -> bool:
        """Whether shard `index` has a sound done mark, and its files are there as whole as the mark says."""
        return self.done(index) is not None

    def done(self, index: int) -> Stats | None:
        """The stats of a shard that is done, else None. Files are read again only where they have changed."""
        paths = [self.path(index, suffix) for suffix in (STATS, TAR, REJECTS)]
        signature = tuple(number for path in paths for number in signature_of(path))
        if self._seen.get(index, ((), None))[0] != signature:
            self._seen[index] = (signature, sound_stats(index, *paths))
        return self._seen[index][1]

    def todo(self) -> list[int]:
        """Indices of the shards that are not done, in order."""
        return [index for index in range(self.info.num_shards) if not self.is_done(index)]

    def claims(self, rank: int = 0, num_processes: int = 1) -> Iterator[int]:
        """Shards to be made by process `rank` of `num_processes`, each locked for it as it is handed out.

        First those with index % num_processes == rank, in order; then, from the end, what other processes have neither
        made nor locked, so that a process that died, or never ran, costs nothing but its own time. On a file system
        without locks a process keeps to its own. Raises OutputError.
        """
        given: set[int] = set()
        while True:
            found = False
            todo = [index for index in self.todo() if index not in given]
            own = [index for index in todo if index % num_processes == rank]
            others = [index for index in reversed(todo) if index % num_processes != rank]
            for index in (*own, *others):
                if index not in own and not self.locks.work:
                    return
                if self.is_done(index) or not self.locks.take(index):
                    continue
                if self.is_done(index):  # finished between the look and the lock
                    self.locks.release(index)
                    continue
                found = True
                given.add(index)
                yield index
            if not found:
                return

    @contextmanager
    def shard(self, index: int) -> Iterator[ShardWriter]:
        """Write shard `index`; it appears whole when the block ends without error, and not at all otherwise.

        Raises OutputError on a full disk or a read-only folder, ResumeError where another process is at this shard.
        """
        if not self.locks.take(index):
            raise ResumeError(f"{self.path(index, 'tar')} is being made by another process; wait for its end")
        try:
            self._check_current()
            yield from self._shard(index)
        finally:
            self.locks.release(index)

    def _shard(self, index: int) -> Iterator[ShardWriter]:
        path = self.path(index, "tar")
        # What an earlier, killed attempt left under a final name is not trusted.
        for suffix in (STATS, REJECTS, TAR):
            remove(self.path(index, suffix))
        for leftover in leftovers(self.folder, f"{index:05d}."):
            remove(leftover)
        with whole_file(path) as file:
            tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[arg-type]
            writer = ShardWriter(index, self.codec, tar)
            yield writer
            tar.close()
            size = file.tell()
        if not writer.counts["samples"]:
            remove(path)
        self._mark(writer, file.digest.hexdigest(), size)

    def _mark(self, writer: ShardWriter, sha256: str, size: int) -> None:
        if writer.rejects:
            lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in writer.rejects)
            write_bytes(self.path(writer.index, REJECTS), lines.encode("utf-8", "backslashreplace"))
        counts = writer.counts
        stats = Stats(
            shard=writer.index,
            sha256=sha256 if counts["samples"] else "",
            samples=counts["samples"],
            artifact=counts["artifact"],
            clean=counts["clean"],
            bytes=counts["bytes"],
            rejects=dict(Counter(record["reason"] for record in writer.rejects)),
            size=size if counts["samples"] else 0,
        )
        write_json(self.path(writer.index, STATS), plain(stats))

    def stats(self) -> list[Stats]:
        """The stats of every shard that is done, in order."""
        return [stats for stats in map(self.done, range(self.info.num_shards)) if stats is not None]

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """The end of the run, one process at a time; gives whether another was at it before. Raises OutputError."""
        if self.locks.holds(END):
            yield False
            return
        waited = self.locks.wait(END)
        try:
            yield waited
        finally:
            if "totals" in read_manifest(self.out / MANIFEST):
                self.locks.remove()  # another may have ended the run while this process waited with a new file
            self.locks.release(END)

    def _check_current(self) -> None:
        """Raises ResumeError where another command has extended the run since this one opened it."""
        stored = read_manifest(self.out / MANIFEST)
        if stored.get("source") != plain(self.info.source):
            raise ResumeError(f"{self.out} was extended meanwhile; resume it with the command that did so")

    def finalise(self) -> dict[str, Any]:
        """Merge rejects, write manifest, card and Croissant. Safe to call again; needs every shard done.

        Returns: totals {"samples", "artifact", "clean", "bytes", "shards", "rejects": {reason: count}}.
        Raises: ResumeError if shards are missing, OutputError.
        """
        missing = self.todo()
        if missing:
            raise ResumeError(f"{len(missing)} of {self.info.num_shards} shards are not done, first {missing[0]:05d}")
        with self.alone():
            self._check_current()
            return self._finalise()

    def _finalise(self) -> dict[str, Any]:
        from shards.card import write_card
        from shards.croissant import write_croissant

        stats = self.stats()
        if len(stats) < self.info.num_shards:
            raise ResumeError(f"files of {self.folder} went away meanwhile; run the same command again")
        totals = total(stats)
        merge_rejects(self, stats)
        manifest = {**self.manifest(), "totals": totals}
        manifest["shards"] = [one.row() for one in stats if one.samples]
        write_json(self.out / MANIFEST, manifest)
        write_card(self.out, manifest)
        write_croissant(self.out, manifest)
        # Of processes that were killed while they wrote; nothing else is ours to delete.
        for leftover in (*leftovers(self.folder), *leftovers(self.out)):
            remove(leftover)
        self.locks.remove()
        return totals


def merge_rejects(run: RunWriter, stats: list[Stats]) -> None:
    """All shards' rejects into OUT/rejects.jsonl, in source order of shards; an empty file where there are none."""
    with whole_file(run.out / REJECTS) as file:
        for path in (run.path(one.shard, REJECTS) for one in stats if one.rejects):
            try:
                data = read_plain(path, MAX_REJECTS)
            except OSError as error:
                raise ResumeError(f"{path} cannot be read ({error}); run the same command again") from error
            file.write(data)


def list_folder(folder: Path) -> list[str]:
    """Names of what lies in a folder, in order. Raises OutputError where it may not be looked at."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise explain(error, folder) from error


def leftovers(folder: Path, prefix: str = "") -> list[Path]:
    """Files under way that a killed process left: names of this code alone."""
    return [folder / name for name in list_folder(folder) if name.startswith(prefix) and leftover_of(name)]


def is_foreign(path: Path) -> bool:
    """Whether something in the folder of a run without a manifest is not this code's own beginning."""
    if path.name == FOLDER and path.is_dir():
        return bool(list_folder(path))
    return not (path.name.startswith(".") or path.name == MANIFEST or leftover_of(path.name) == MANIFEST)


def remove(path: Path) -> None:
    """Delete a file if it is there. Raises OutputError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain(error, path) from error


def write_json_once(path: Path, value: Any) -> None:
    """Create `path` whole unless another process does so first (then its file stays)."""
    mine = path.with_name(f"{path.name}.{process_name()}")
    write_json(mine, value)
    try:
        os.link(mine, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links: the rename may overwrite an equal file
        mine.replace(path)
    finally:
        mine.unlink(missing_ok=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """Load a manifest. Raises MissingInputError, ResumeError where it is damaged."""
    return read_object(path, limits=TABLE, error=ResumeError)
