"""A folder of mixed pictures, searched recursively, with an optional .txt caption beside each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shards.errors import MissingInputError, SourceError
from shards.source import Reject
from shards.sources.heads import LONG_HEAD, head_sides
from shards.sources.listed import ListedOptions, ListedSource

SIDECARS = {".txt", ".json", ".jsonl", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml"}
"""Extensions of text beside the pictures; such files are never inputs. Every other file is sniffed by content."""


@dataclass(frozen=True, kw_only=True)
class FolderOptions(ListedOptions):
    """Options of the source `folder`."""

    root: str
    """The folder."""
    masks: str = ""
    """A folder with a PNG (0, 128, 255) for each picture: same relative path, extension .png. "" for none."""


class FolderSource(ListedSource):
    """All files below `root` in an order that depends on their names alone; hidden files are left out."""

    Options = FolderOptions

    def __init__(self, options: FolderOptions) -> None:
        self.root = Path(options.root)
        self.masks = Path(options.masks) if options.masks else None
        for folder in [self.root] + ([self.masks] if self.masks else []):
            if not folder.exists():
                raise MissingInputError(f"folder {folder} does not exist; name a folder of pictures")
            if not folder.is_dir():
                raise SourceError(f"{folder} is not a folder; for tars use the source 'webdataset'")
        self._files = list_files(self.root)
        if not self._files:
            raise SourceError(f"folder {self.root} holds no pictures (text and hidden files do not count)")
        super().__init__(options, self.root.resolve().name, len(self._files))

    def uri(self, place: int) -> str:
        # A name that is no valid UTF-8 must still be writable into JSON.
        return self._files[place][0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def byte_size(self, place: int) -> int:
        return self._files[place][1]

    def sides(self, place: int) -> tuple[int, int] | None:
        try:
            with (self.root / self._files[place][0]).open("rb") as file:
                return head_sides(file.read(LONG_HEAD))
        except OSError:
            return None

    def read(self, place: int) -> bytes | Reject:
        return self._read(self.root / self._files[place][0], self.uri(place))

    def caption(self, place: int) -> str:
        beside = (self.root / self._files[place][0]).with_suffix(".txt")
        try:
            return beside.read_bytes().decode("utf-8-sig", "replace").strip()
        except OSError:
            return ""

    def mask_bytes(self, place: int) -> bytes | Reject | None:
        if self.masks is None:
            return None
        path = (self.masks / self._files[place][0]).with_suffix(".png")
        if not path.exists():
            return Reject(self.uri(place), "mask_missing", f"no {path.name} in {self.masks.name}")
        return self._read(path, self.uri(place))

    @staticmethod
    def _read(path: Path, uri: str) -> bytes | Reject:
        try:
            return path.read_bytes()
        except OSError as error:
            return Reject(uri, "unreadable", error.strerror or str(error))


def list_files(root: Path) -> list[tuple[str, int]]:
    """(relative path with forward slashes, byte size) of every input below `root`, sorted by the path's bytes."""
    found: list[tuple[str, int]] = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(root)
            hidden = any(part.startswith(".") for part in relative.parts)
            if hidden or path.suffix.lower() in SIDECARS:
                continue
            try:
                size = path.stat().st_size if not path.is_dir() else -2
            except OSError:
                size = -1  # a dangling link: listed, and rejected as unreadable when it is read
            if size != -2:
                found.append((relative.as_posix(), size))
    return sorted(found, key=lambda pair: os.fsencode(pair[0]))
