"""A folder of mixed pictures, searched recursively, with an optional .txt caption beside each."""

from __future__ import annotations

import os
from pathlib import Path

from shards.errors import MissingInputError, SourceError
from shards.listed import ListedSource
from shards.pictures import Limits
from shards.source import Reject

SIDECARS = {".txt", ".json", ".jsonl", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml"}
"""Extensions of text beside the pictures; such files are never inputs. Every other file is sniffed by content."""


class FolderSource(ListedSource):
    """All files below `root` in an order that depends on their names alone; hidden files are left out.

    Args:
        root: the folder.
        masks: a folder with a PNG (0, 128, 255) for each picture: same relative path, extension .png. "" for none.
        set_name: name of the set in each sample; default the folder's name.
        licence: licence of the pictures, copied into each sample.
        duplicates: keep or skip.
        limit: use only the first `limit` files; 0 for all.
        min_side, max_side: accepted picture sizes in pixels.
    """

    def __init__(
        self,
        root: str,
        masks: str = "",
        set_name: str = "",
        licence: str = "",
        duplicates: str = "keep",
        limit: int = 0,
        min_side: int = 16,
        max_side: int = 16384,
    ) -> None:
        self.root = Path(root)
        super().__init__(set_name or self.root.resolve().name, licence, duplicates, Limits(min_side, max_side))
        self.masks = Path(masks) if masks else None
        for folder in [self.root] + ([self.masks] if self.masks else []):
            if not folder.exists():
                raise MissingInputError(f"folder {folder} does not exist; name a folder of pictures")
            if not folder.is_dir():
                raise SourceError(f"{folder} is not a folder; for tars use the source 'webdataset'")
        self._files = list_files(self.root)
        if limit:
            self._files = self._files[:limit]
        if not self._files:
            raise SourceError(f"folder {self.root} holds no pictures (text and hidden files do not count)")

    def __len__(self) -> int:
        return len(self._files)

    def uri(self, index: int) -> str:
        # A name that is no valid UTF-8 must still be writable into JSON.
        return self._files[index][0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def byte_size(self, index: int) -> int:
        return self._files[index][1]

    def read(self, index: int) -> bytes | Reject:
        return self._read(self.root / self._files[index][0], self.uri(index))

    def caption(self, index: int) -> str:
        beside = (self.root / self._files[index][0]).with_suffix(".txt")
        try:
            return beside.read_bytes().decode("utf-8-sig", "replace").strip()
        except OSError:
            return ""

    def mask_bytes(self, index: int) -> bytes | Reject | None:
        if self.masks is None:
            return None
        path = (self.masks / self._files[index][0]).with_suffix(".png")
        if not path.exists():
            return Reject(self.uri(index), "mask_missing", f"no {path.name} in {self.masks.name}")
        return self._read(path, self.uri(index))

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
