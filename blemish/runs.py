"""`open_run`: a finished or unfinished run, its samples and the facts of its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import MissingInputError
from shards.reader import ShardReader
from shards.schema import Sample
from shards.source import Reject
from shards.store_reads import ReadStore
from shards.store_run import address_of, local_files
from shards.stores import Address
from shards.writer import MANIFEST, REJECTS, read_manifest


@dataclass(frozen=True)
class Run:
    """A run's folder, here or in an object store: samples by position, and how they were made."""

    path: Path | Address
    reader: ShardReader
    manifest: dict[str, Any]
    """Everything that manifest.json holds."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.reader)

    def __getitem__(self, index: int) -> Sample:
        """Sample by position: image and source uint8 HWC, mask uint8 HW (0, 1, 255), meta."""
        return self.reader[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.reader)

    @property
    def config(self) -> dict[str, Any]:
        """The run's config as plain values."""
        return dict(self.manifest["config"])

    @property
    def title(self) -> str:
        return str(self.manifest.get("title", ""))

    @property
    def licence(self) -> str:
        return str(self.manifest.get("licence", ""))

    @property
    def is_complete(self) -> bool:
        """Whether every shard is done and the run was closed."""
        return "totals" in self.manifest

    @property
    def totals(self) -> dict[str, Any]:
        """Numbers of samples, artifacts, clean ones, bytes, shards, and rejects by reason; empty until complete."""
        return dict(self.manifest.get("totals", {}))

    def rejects(self) -> Iterator[Reject]:
        """Inputs that became no sample, each with its reason; none until the run is complete."""
        for line in self._rejects().decode("utf-8").splitlines():
            told = json.loads(line)
            yield Reject(told["uri"], told["reason"], told.get("detail", ""))

    def _rejects(self) -> bytes:
        """The bytes of rejects.jsonl, none where there is no such file."""
        if isinstance(self.path, Address):
            found = ReadStore(self.path).get(REJECTS)
            return found[0] if found else b""
        file = self.path / REJECTS
        return file.read_bytes() if file.is_file() else b""

    def __str__(self) -> str:
        state = "complete" if self.is_complete else "not complete"
        return f"{self.title or 'run'} in {self.path}: {len(self)} samples, {state}"


def open_run(path: str | Path) -> Run:
    """Open the folder of a run, or s3://bucket/run (gs://, az://).

    Raises MissingInputError (a FileNotFoundError: no manifest or no shards), ResumeError or SchemaError (ValueErrors:
    damaged), SourceError (a ValueError: a store cannot be reached).
    """
    place = address_of(path) or Path(path)
    with local_files(place) as folder:
        if not (folder / MANIFEST).is_file():
            raise MissingInputError(f"{place} has no {MANIFEST}: it is no run; for loose tars use ShardReader")
        return Run(place, ShardReader(str(place)), read_manifest(folder / MANIFEST))
