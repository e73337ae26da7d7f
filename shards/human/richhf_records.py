"""RichHF-18k as it is handed round: TFRecord files without pictures, or the joined mirror's Parquet tables with them.

Both become a `RecordSet`: a list of records of one split, in file order, in which damage is a `Reject`.
"""

from __future__ import annotations

import abc
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shards.errors import MissingInputError, SourceError
from shards.files import hash_file
from shards.guard.plain_file import kind_of
from shards.guard.pointer import refuse_pointer
from shards.human.example import Values, WireError, parse_example
from shards.human.tfrecord import Damage, read_frames, read_payload
from shards.source import Reject, fingerprint
from shards.sources.parquet import Rows, picture_bytes

SCORES = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
MAPS = ("artifact_map", "misalignment_map")
TOKENS = "prompt_misalignment_label"
SPLITS = ("train", "dev", "test")
EXPECTED = {"train": 15810, "dev": 995, "test": 955}
"""Records of the released files."""
LONGEST = {"filename": 1024, TOKENS: 1 << 14}
"""Characters that a text may have; captions are cut, not refused."""
_SPLIT_WORDS = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"}


@dataclass(frozen=True)
class Record:
    """One annotated picture. Maps are as stored; `image` is None where the set holds no pictures."""

    filename: str
    scores: dict[str, float]
    artifact_map: Any
    misalignment_map: Any
    tokens: str = ""
    """Space-separated 0 and 1 for the words of the prompt; "" where there are none."""
    caption: str = ""
    image: bytes | None = None

    @property
    def uid(self) -> str:
        """Base name without its extension: the key of Pick-a-Pic."""
        return PurePosixPath(self.filename.replace("\\", "/")).name.rsplit(".", 1)[0]


class RecordSet(abc.ABC):
    """The records of one split."""

    def __init__(self, split: str) -> None:
        self.split = split

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of records, damaged ones included."""

    @abc.abstractmethod
    def record(self, index: int) -> Record | Reject:
        """Record `index`; cheapest in order."""

    def labels(self, index: int) -> Record | Reject:
        """Record `index` without its picture, where that is cheaper."""
        return self.record(index)

    @abc.abstractmethod
    def scores(self) -> Iterator[float]:
        """Every score of every record, for telling their scale."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What names the input, so that resuming with another one is noticed: name, items, fingerprint."""


class TfRecordSet(RecordSet):
    """One TFRecord file. Every checksum is verified once, here; offsets and scores are kept, payloads are not.

    Raises SourceError: a Git LFS pointer, or no TFRecord file.
    """

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(split)
        refuse_pointer(path)
        self.path = path
        self._entries: list[int | Reject] = []
        self._scores: list[float] = []
        for number, found in enumerate(read_frames(path)):
            uri = f"{split}/{path.name}#{number}"
            if isinstance(found, Damage):
                self._entries.append(Reject(uri, "corrupt_file" if found.fatal else "corrupt_record", found.detail))
                continue
            record = record_of(found.payload, uri)
            if isinstance(record, Reject):
                self._entries.append(record)
            else:
                self._entries.append(found.offset)
                self._scores += record.scores.values()

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, index: int) -> Record | Reject:
        entry = self._entries[index]
        if isinstance(entry, Reject):
            return entry
        return record_of(read_payload(self.path, entry), f"{self.split}/{self.path.name}#{index}")

    def scores(self) -> Iterator[float]:
        return iter(self._scores)

    def identity(self) -> dict[str, Any]:
        size = self.path.stat().st_size
        return {"items": len(self), "files": self.path.name, "bytes": size, "fingerprint": hash_file(self.path)}


def record_of(payload: bytes, uri: str) -> Record | Reject:
    """tf.train.Example -> Record, or the reason why not."""
    try:
        features = parse_example(payload)
        filename = first_text(features, "filename")
        tokens = first_text(features, TOKENS)
    except (WireError, UnicodeDecodeError) as error:
        return Reject(uri, "corrupt_record", f"no tf.train.Example: {error}")
    if not filename:
        found = ", ".join(sorted(features))[:200] or "none"
        return Reject(uri, "corrupt_record", f"no feature 'filename'; found {found}")
    scores = {name: first_number(features, name) for name in SCORES}
    maps = [first(features, name) for name in MAPS]
    return too_long(Record(filename, scores, maps[0], maps[1], tokens), uri)


def too_long(record: Record, uri: str) -> Record | Reject:
    """The record, or a Reject where one of its texts is longer than any of the released set's."""
    texts = {"filename": record.filename, TOKENS: record.tokens}
    for name, text in texts.items():
        if len(text) > LONGEST[name]:
            detail = f"{name} of {len(text)} characters; at most {LONGEST[name]} are read"
            return Reject(uri, "corrupt_record", detail)
    return record


def first(features: Mapping[str, Values], name: str) -> Any:
    values = features.get(name) or [None]
    return values[0]


def first_text(features: Mapping[str, Values], name: str) -> str:
    value = first(features, name)
    return value.decode("utf-8") if isinstance(value, bytes) else ""


def first_number(features: Mapping[str, Values], name: str) -> float:
    value = first(features, name)
    return float(value) if isinstance(value, (int, float)) else math.nan


class JoinedSet(RecordSet):
    """Parquet tables of one split of the joined mirror: filename, image, caption, four scores, two maps."""

    def __init__(self, paths: list[Path], split: str) -> None:
        super().__init__(split)
        self.paths = paths
        text = ["filename", *SCORES]
        self._scored = Rows(paths, list(SCORES))
        optional = [name for name in ("caption", TOKENS) if self._has(name)]
        self._judged = Rows(paths, [*text, *MAPS, *optional])
        self._whole = Rows(paths, [*text, *MAPS, *optional, "image"])

    def _has(self, name: str) -> bool:
        from shards.sources.parquet import open_table

        return all(name in open_table(path, []).schema_arrow.names for path in self.paths)

    def __len__(self) -> int:
        return len(self._judged)

    def record(self, index: int) -> Record | Reject:
        row = self._whole[index]
        return self._record(index, row, picture_bytes(row["image"]))

    def labels(self, index: int) -> Record | Reject:
        return self._record(index, self._judged[index], None)

    def _record(self, index: int, row: Mapping[str, Any], image: bytes | None) -> Record | Reject:
        filename = row["filename"]
        uri = f"{self.split}/row {index}"
        if not isinstance(filename, str) or not filename:
            return Reject(uri, "corrupt_record", f"filename is {filename!r}"[:200])
        scores = {name: number(row[name]) for name in SCORES}
        caption, tokens = row.get("caption"), row.get(TOKENS)
        record = Record(
            filename,
            scores,
            row["artifact_map"],
            row["misalignment_map"],
            tokens if isinstance(tokens, str) else "",
            caption if isinstance(caption, str) else "",
            image,
        )
        return too_long(record, uri)

    def scores(self) -> Iterator[float]:
        return (number(value) for index in range(len(self)) for value in self._scored[index].values())

    def identity(self) -> dict[str, Any]:
        facts = [(path.name, path.stat().st_size) for path in self.paths]
        lines = [f"{size} {name}" for name, size in facts]
        total = sum(size for _, size in facts)
        names = ", ".join(name for name, _ in facts)
        return {"items": len(self), "files": names, "bytes": total, "fingerprint": fingerprint(lines)}


def number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def open_sets(root: Path) -> list[RecordSet]:
    """The splits below a folder (or of one file) in the order train, dev, test.

    Raises MissingInputError if nothing is there, SourceError for a pointer, damage, or a split that no name tells.
    """
    if not root.exists():
        raise MissingInputError(
            f"{root} does not exist; name the folder of train.tfrecord, dev.tfrecord, test.tfrecord"
        )
    records = find(root, "*.tfrecord")
    tables = find(root, "*.parquet")
    if not records and not tables:
        raise MissingInputError(f"{root} holds neither *.tfrecord nor *.parquet; name the folder of RichHF-18k")
    if records and tables:
        raise SourceError(f"{root} holds both *.tfrecord and *.parquet; name the folder of one of them")
    grouped: dict[str, list[Path]] = {}
    for path in records or tables:
        grouped.setdefault(split_of(path), []).append(path)
    for split, paths in grouped.items():
        if records and len(paths) > 1:
            raise SourceError(
                f"{root} holds {len(paths)} files of the split {split}: {', '.join(p.name for p in paths)}"
            )
    splits = [split for split in SPLITS if split in grouped]
    if records:
        return [TfRecordSet(grouped[split][0], split) for split in splits]
    return [JoinedSet(grouped[split], split) for split in splits]


def find(root: Path, pattern: str) -> list[Path]:
    """Matching files below a folder by name, or the file itself.

    Raises SourceError where a folder may not be listed, or a name that matches is a FIFO, socket or device.
    """

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be listed ({error.strerror or error})")

    if not root.is_dir():
        return [root] if root.match(pattern) and is_file(root) else []
    found = [Path(folder, name) for folder, _, names in os.walk(root, onerror=refuse) for name in names]
    return sorted(path for path in found if path.match(pattern) and not path.name.startswith(".") and is_file(path))


def is_file(path: Path) -> bool:
    """Whether a name leads to a file, not a folder. Raises SourceError for a FIFO, socket, device or dangling link."""
    try:
        kind = kind_of(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error})") from error
    if kind not in ("file", "folder"):
        raise SourceError(f"{path} is a {kind}, not a file; take it away")
    return kind == "file"


def split_of(path: Path) -> str:
    """train, dev or test by the first word of the name. Raises SourceError."""
    words = re.split(r"[^a-z]+", path.name.lower())
    found = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    if not found:
        raise SourceError(f"{path.name}: no split in the name; expected train, dev (or validation) or test in it")
    return found[0]
