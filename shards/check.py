"""Is a run whole and valid? Every sample decoded, every field typed, every sha256 compared with the manifest."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from shards.errors import MissingInputError, SchemaError, UserError
from shards.files import explain, hash_file
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import open_plain
from shards.reader import ShardReader, find_shards
from shards.schema import Sample, mask_facts, parse_key
from shards.shard_paths import Tar
from shards.store_run import local_files
from shards.store_tar import PinnedTar
from shards.writer import MANIFEST, REJECTS

SHOWN = 200
"""Most characters of a name that a problem shows."""
Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass
class Report:
    """What was found: counts, and one line for each problem."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def summary(self) -> str:
        """One line."""
        c = self.counts
        verdict = "ok" if self.ok else f"{len(self.problems)} problem{'s' * (len(self.problems) != 1)}"
        kinds = f"{c['artifact']} artifact, {c['clean']} clean"
        return f"{verdict}: {c['samples']} samples ({kinds}) in {c['shards']} shards, {c['rejects']} rejects"


@dataclass(frozen=True)
class Manifest:
    """What a manifest states: (name, sha256) of each shard, numbers of samples and rejects."""

    shards: list[tuple[str, str]]
    samples: int
    rejects: int


def check_run(where: str | Path, progress: Progress = iter) -> Report:
    """Check a run folder, a folder of tars or one tar, here or in an object store.

    A tar in a store is fetched, whatever the cache holds, and its copy deleted once it was looked at.

    Raises MissingInputError if there is nothing there, SourceError where a store cannot be reached, OutputError where
    this machine has no room for a tar; everything else becomes a problem in the report.
    """
    report = Report()
    with local_files(where) as root:
        manifest = read_manifest_file(root, report)
        paths = find_or_none(where, manifest)
        if manifest is not None:
            check_manifest(root, manifest, paths, report)
    keys: set[str] = set()
    stated: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, sha256 in manifest.shards if manifest else ():
        stated[PurePosixPath(name).name].append((name, sha256))
    for path in paths:
        report.counts["shards"] += 1
        with looked_at(path) as tar:
            for name, sha256 in stated.get(path.name, ()):
                if hash_of(tar) != sha256:
                    report.problems.append(f"{name}: sha256 differs from {MANIFEST}")
            check_shard(tar, keys, report, progress)
    if manifest is not None and report.counts["samples"] != manifest.samples:
        found = report.counts["samples"]
        report.problems.append(f"{MANIFEST}: states {manifest.samples} samples, found {found}")
    return report


@contextmanager
def looked_at(path: Tar) -> Iterator[Path | PinnedTar]:
    """The tar; of one in a store a copy, until the block ends. Raises SourceError, OutputError."""
    if isinstance(path, Path):
        yield path
        return
    with TemporaryDirectory(prefix="blemish-read-") as folder:
        copy = Path(folder) / "copy.tar"
        try:
            with copy.open("wb") as file:
                path.copy_to(file, known=False)
        except OSError as error:
            raise (error if isinstance(error, UserError) else explain(error, copy)) from error
        yield PinnedTar(path, copy)


def find_or_none(where: str | Path, manifest: Manifest | None) -> list[Tar]:
    """The tars; none at all is right only for a finished run in which every input was rejected."""
    try:
        return find_shards(where)
    except MissingInputError:
        if manifest is not None and not manifest.shards:
            return []
        raise


def read_manifest_file(root: Path, report: Report) -> Manifest | None:
    """The manifest of a finished run; a problem is noted if the run is not finished or the file is damaged."""
    path = root / MANIFEST
    if not os.path.lexists(path):
        return None
    try:
        stored = read_object(path, limits=TABLE)
        if "shards" not in stored:
            report.problems.append(f"{MANIFEST}: the run is not finished; run its command again")
            return None
        return manifest_of(stored)
    except (SchemaError, MissingInputError) as error:
        report.problems.append(f"{MANIFEST}: damaged ({error})")
    return None


def manifest_of(stored: dict[str, Any]) -> Manifest:
    """What is compared, of plain values. Raises SchemaError."""
    shards, totals = stored["shards"], stored.get("totals")
    rejects = totals.get("rejects") if isinstance(totals, dict) else None
    samples = totals.get("samples") if isinstance(totals, dict) else None
    if type(samples) is not int or not isinstance(rejects, dict):
        raise SchemaError("totals.samples must be a number and totals.rejects an object of numbers")
    if not all(type(count) is int for count in rejects.values()):
        raise SchemaError("totals.rejects must hold whole numbers")
    if not isinstance(shards, list) or not all(isinstance(shard, dict) for shard in shards):
        raise SchemaError("shards must be a list of objects")
    pairs = [(shard.get("name"), shard.get("sha256")) for shard in shards]
    if not all(isinstance(name, str) and isinstance(digest, str) for name, digest in pairs):
        raise SchemaError("each of shards must have a name and a sha256, both text")
    return Manifest([(str(name), str(digest)) for name, digest in pairs], samples, sum(rejects.values()))


def check_manifest(root: Path, manifest: Manifest, paths: list[Tar], report: Report) -> None:
    """Compare the list of shards and the number of rejects."""
    found = {path.name: path for path in paths}
    for name, _ in manifest.shards:
        if found.pop(PurePosixPath(name).name, None) is None:
            report.problems.append(f"{name[:SHOWN]}: named in {MANIFEST} but not there")
    report.problems += [f"{name}: not named in {MANIFEST}" for name in sorted(found)]
    lines = count_lines(root / REJECTS)
    report.counts["rejects"] = lines
    if lines != manifest.rejects:
        report.problems.append(f"{REJECTS}: {lines} lines, {MANIFEST} states {manifest.rejects}")


def hash_of(tar: Path | PinnedTar) -> str:
    """sha256 of a tar, "" where it cannot be read (opening it as a shard says why)."""
    try:
        return hash_file(tar if isinstance(tar, Path) else tar.path)
    except OSError:
        return ""


def count_lines(path: Path) -> int:
    """Lines of a file, 0 where there is none that can be read."""
    try:
        with open_plain(path) as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def check_shard(path: Tar, keys: set[str], report: Report, progress: Progress) -> None:
    """Decode every sample of one tar."""
    try:
        reader = ShardReader(path, cache=False)
    except SchemaError as error:
        report.problems.append(str(error))
        return
    for index in progress(range(len(reader))):
        try:
            sample = reader[index]
            check_facts(sample, path)
        except SchemaError as error:
            report.problems.append(f"{path.name}: {error}")
            continue
        if sample.key in keys:
            report.problems.append(f"{path.name}: key {sample.key} appears twice")
        keys.add(sample.key)
        report.counts.update(["samples", sample.meta.label])
    reader.close()


def check_facts(sample: Sample, path: Tar) -> None:
    """The JSON must say of the mask what the mask says of itself. Raises SchemaError."""
    shard, _ = parse_key(sample.key)
    if path.stem.isdigit() and shard != int(path.stem):
        raise SchemaError(f"{sample.key}: key names shard {shard}, the file is {path.name}")
    counted = mask_facts(sample.mask)
    if counted != sample.meta.mask:
        raise SchemaError(f"{sample.key}: JSON says {sample.meta.mask}, the mask holds {counted}")
