"""Is a run whole and valid? Every sample decoded, every field typed, every sha256 compared with the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shards.errors import MissingInputError, SchemaError
from shards.files import hash_file
from shards.reader import ShardReader, find_shards
from shards.schema import Sample, describe_mask, parse_key
from shards.writer import MANIFEST, REJECTS

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


def check_run(where: str | Path, progress: Progress = iter) -> Report:
    """Check a run folder, a folder of tars or one tar.

    Raises MissingInputError if there is nothing there; everything else becomes a problem in the report.
    """
    report = Report()
    root = Path(where)
    manifest = read_manifest_file(root, report)
    paths = find_or_none(where, manifest)
    if manifest is not None:
        check_manifest(root, manifest, paths, report)
    keys: set[str] = set()
    for path in paths:
        report.counts["shards"] += 1
        check_shard(path, keys, report, progress)
    if manifest is not None and report.counts["samples"] != manifest["totals"]["samples"]:
        stated = manifest["totals"]["samples"]
        report.problems.append(f"{MANIFEST}: states {stated} samples, found {report.counts['samples']}")
    return report


def find_or_none(where: str | Path, manifest: dict[str, Any] | None) -> list[Path]:
    """The tars; none at all is right only for a finished run in which every input was rejected."""
    try:
        return find_shards(where)
    except MissingInputError:
        if manifest is not None and not manifest["shards"]:
            return []
        raise


def read_manifest_file(root: Path, report: Report) -> dict[str, Any] | None:
    """The manifest of a finished run; a problem is noted if the run is not finished or the file is damaged."""
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        if "shards" not in manifest:
            report.problems.append(f"{MANIFEST}: the run is not finished; run its command again")
            return None
        manifest["totals"]["samples"]
    except (ValueError, TypeError, KeyError) as error:
        report.problems.append(f"{MANIFEST}: damaged ({error})")
        return None
    return manifest


def check_manifest(root: Path, manifest: dict[str, Any], paths: list[Path], report: Report) -> None:
    """Compare the list of shards, their sha256 and the number of rejects."""
    found = {path.name: path for path in paths}
    for shard in manifest["shards"]:
        path = found.pop(Path(shard["name"]).name, None)
        if path is None:
            report.problems.append(f"{shard['name']}: named in {MANIFEST} but not there")
        elif hash_file(path) != shard["sha256"]:
            report.problems.append(f"{shard['name']}: sha256 differs from {MANIFEST}")
    report.problems += [f"{name}: not named in {MANIFEST}" for name in sorted(found)]
    stated = sum(manifest["totals"]["rejects"].values())
    lines = (root / REJECTS).read_bytes().count(b"\n") if (root / REJECTS).is_file() else 0
    report.counts["rejects"] = lines
    if lines != stated:
        report.problems.append(f"{REJECTS}: {lines} lines, {MANIFEST} states {stated}")


def check_shard(path: Path, keys: set[str], report: Report, progress: Progress) -> None:
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


def check_facts(sample: Sample, path: Path) -> None:
    """The JSON must say of the mask what the mask says of itself. Raises SchemaError."""
    shard, _ = parse_key(sample.key)
    if path.stem.isdigit() and shard != int(path.stem):
        raise SchemaError(f"{sample.key}: key names shard {shard}, the file is {path.name}")
    counted = describe_mask(sample.meta, sample.mask).mask
    if counted != sample.meta.mask:
        raise SchemaError(f"{sample.key}: JSON says {sample.meta.mask}, the mask holds {counted}")
