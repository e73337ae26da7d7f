"""What of a run goes to the hub: named one by one, so that nothing else in the folder is ever sent.

    README.md         the card, made anew: counts, licence, a sheet, how it was made, fields
    sheet.png         twelve samples, spread evenly
    manifest.json     as it is
    croissant.json    as it is, with the dataset's address
    rejects.jsonl     as it is
    shards/00000.tar, 00000.stats.json, 00000.rejects.jsonl    as they are

Places of the machine (.local.json), logs, locks, indexes, the list of inputs and the pages to look through stay here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.croissant import croissant, date_of
from shards.errors import ConfigError, MissingInputError, ResumeError, SchemaError
from shards.guard.json_text import TABLE
from shards.guard.plain_file import read_plain, size_of
from shards.images import encode_image
from shards.publish.hub_card import hub_card
from shards.reader import ShardReader
from shards.show import Chosen, choose, contact_sheet
from shards.writer import FOLDER, MANIFEST, REJECTS, STATS, read_manifest

SHEET, CARD, CROISSANT = "sheet.png", "README.md", "croissant.json"
SHEET_SAMPLES = 12
NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
TAR_NAME = re.compile(rf"{FOLDER}/[0-9]{{5,9}}\.tar")


@dataclass(frozen=True)
class File:
    """One file of the dataset: a path here, or bytes made for it."""

    name: str
    content: Path | bytes
    size: int
    sha256: str = ""
    """Of a shard, as the manifest has it; "" for other files."""

    @property
    def describes(self) -> bool:
        """Whether it is about the whole run, and so comes last."""
        return not self.name.startswith(f"{FOLDER}/")


@dataclass(frozen=True)
class Plan:
    """Everything that goes, shards first, what describes them last."""

    files: tuple[File, ...]
    title: str
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` is OWNER/NAME as the hub allows it."""
    parts = name.split("/")
    wrong = len(parts) != 2 or not all(NAME.fullmatch(part) for part in parts)
    if wrong or "--" in name or ".." in name or name.endswith(".git"):
        raise ConfigError(
            f"{name[:120]!r} is no name of a dataset: it is OWNER/NAME, each of at most 96 letters, digits, '-', '_' "
            f"and '.', that begins and ends with a letter or digit and holds no '--' or '..', such as me/artifacts"
        )


def plan_of(run: Path, name: str) -> Plan:
    """What of the run goes to the dataset `name`; no shard is read but for the sheet.

    Raises MissingInputError where RUN is no run, ResumeError where it is not finished, SchemaError where it is damaged.
    """
    if not (run / MANIFEST).is_file():
        raise MissingInputError(f"{run} holds no run of shards ({MANIFEST} is not there); name the folder of a run")
    manifest = read_manifest(run / MANIFEST)
    if "totals" not in manifest:
        raise ResumeError(f"{run} is not finished; run its command again, then publish")
    try:
        shards = [shard_file(run, row) for row in manifest["shards"]]
        card = hub_card(manifest, name, SHEET if shards else "").encode("utf-8", "backslashreplace")
        facts = {**croissant(manifest, date_of(run)), "url": f"https://huggingface.co/datasets/{name}"}
        warnings = () if manifest["licence"] else ("the run names no licence, so the card names none",)
    except (KeyError, TypeError, AttributeError) as error:
        raise SchemaError(f"{run / MANIFEST} is damaged ({error!r}); see `blemish check {run}`") from error
    described = (json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    made = [made_file(CARD, card), made_file(CROISSANT, described)]
    if shards:
        made.insert(0, made_file(SHEET, sheet(run)))
    kept = [file for name in (REJECTS, MANIFEST) if (file := kept_file(run, name))]
    marks = [file for path in beside(run) if (file := kept_file(run, path))]
    parts = sorted([*shards, *marks], key=lambda file: file.name)
    return Plan((*parts, *made, *kept), str(manifest.get("title", "")), warnings)


def shard_file(run: Path, row: dict[str, Any]) -> File:
    """One shard of the manifest. Raises SchemaError where it is not there."""
    name, sha256 = row["name"], row["sha256"]
    if not TAR_NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise SchemaError(f"{run / MANIFEST} is damaged: {str(name)[:80]!r} is no shard; see `blemish check {run}`")
    size = size_of(run / name)
    if size < 0:
        raise SchemaError(f"{run / name} is not there; run the command of the run again")
    return File(name, run / name, size, sha256)


def beside(run: Path) -> list[str]:
    """The done marks and the rejects of the shards."""
    found = [*(run / FOLDER).glob(f"*.{STATS}"), *(run / FOLDER).glob(f"*.{REJECTS}")]
    return [f"{FOLDER}/{path.name}" for path in sorted(found)]


def kept_file(run: Path, name: str) -> File | None:
    """A file as it is, None where there is none."""
    size = size_of(run / name)
    return File(name, run / name, size) if size >= 0 else None


def made_file(name: str, data: bytes) -> File:
    return File(name, data, len(data))


def sheet(run: Path) -> bytes:
    """PNG of some samples."""
    reader = ShardReader(run)
    return encode_image(contact_sheet(Chosen(reader, choose(len(reader), SHEET_SAMPLES)), columns=3), "png")


def read_small(file: File) -> bytes:
    """The bytes of a file that is no shard. Raises SchemaError."""
    if isinstance(file.content, bytes):
        return file.content
    try:
        return read_plain(file.content, TABLE.max_bytes)
    except OSError as error:
        raise SchemaError(f"{file.content} cannot be read ({error.strerror or error})") from error
