"""A folder of mixed pictures, searched recursively, with an optional .txt caption beside each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import MissingInputError, SourceError
from shards.guard.plain_file import open_plain, size_of
from shards.source import Reject
from shards.sources.file_source import MAX_CAPTION_BYTES, FileOptions, FileSource
from shards.sources.image_headers import LONG_HEAD, head_sides
from shards.sources.pictures import read_file

SIDECARS = {".txt", ".json", ".jsonl", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml"}
"""Extensions of text beside the pictures; such files are never inputs. Every other file is sniffed by content."""
PNG_END = 16
"""Last bytes of a PNG: a checksum over all that its pixels were packed to, and the end mark."""
FOLDER = -2
"""Stands for the size of a folder that is not looked into."""


@dataclass(frozen=True, kw_only=True)
class FolderOptions(FileOptions):
    """Options of the source `folder`."""

    root: str
    """The folder."""
    masks: str = ""
    """A folder with a PNG (0, 128, 255) for each picture: same relative path, extension .png. "" for none."""
    mask_threshold: int = 0
    """0: masks hold 0 clean, 255 artifact and 128 ignore and no more. 1 to 255: pixels of this grey value and above
    are artifact, all others clean: 1 for masks of 0 and 1, 128 for soft masks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mask_threshold <= 255:
            raise ValueError(f"mask_threshold is {self.mask_threshold}; allowed are 0 (no threshold) and 1 to 255")


class FolderSource(FileSource):
    """All files below `root` in an order that depends on their names alone; hidden files are left out.

    Links to files are followed. A link to a folder is not (it may lead in a circle): it is
    one reject, `unreadable`, and so is a folder that may not be listed, and what is no ordinary file.
    """

    Options = FolderOptions

    def __init__(self, options: FolderOptions) -> None:
        self.root = Path(options.root)
        self.masks = Path(options.masks) if options.masks else None
        self.mask_threshold = options.mask_threshold
        self._mask_marks: dict[int, str] = {}
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
            with open_plain(self.root / self._files[place][0]) as file:
                return head_sides(file.read(LONG_HEAD))
        except OSError:
            return None

    def read(self, place: int) -> bytes | Reject:
        path, uri = self.root / self._files[place][0], self.uri(place)
        return refuse_folder(path, uri) if self.broken(place) else read_file(path, uri)

    def ends(self, place: int, size: int) -> bytes | Reject:
        try:
            with open_plain(self.root / self._files[place][0]) as file:
                head = file.read(size)
                file.seek(max(self.byte_size(place) - size, len(head)))
                return head + file.read(size)
        except OSError as error:
            return Reject(self.uri(place), "unreadable", error.strerror or str(error))

    def broken(self, place: int) -> bool:
        return self._files[place][1] == FOLDER

    def listing(self) -> Iterator[str]:
        lines = super().listing()
        if self.masks is None:
            return lines
        return (f"{line} mask {self._mask_mark(place)}" for line, place in zip(lines, self._choice.places, strict=True))

    def _mask_mark(self, place: int) -> str:
        """What tells a picture's mask from another: size and last bytes; names are alike, and often sizes too."""
        if place not in self._mask_marks:
            try:
                with open_plain(self._mask_path(place)) as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - PNG_END))
                    self._mask_marks[place] = f"{size} {file.read(PNG_END).hex()}"
            except OSError:
                self._mask_marks[place] = "-1"
        return self._mask_marks[place]

    def _mask_path(self, place: int) -> Path:
        assert self.masks is not None
        return (self.masks / self._files[place][0]).with_suffix(".png")

    def caption(self, place: int) -> str:
        return caption_beside(self.root / self._files[place][0])

    def mask_bytes(self, place: int) -> bytes | Reject | None:
        if self.masks is None:
            return None
        path, uri = self._mask_path(place), self.uri(place)
        try:
            path.stat()
        except OSError as error:
            return Reject(uri, "mask_missing", f"no {path.name} in {self.masks.name} ({error.strerror})")
        return read_file(path, uri)


def caption_beside(path: Path) -> str:
    """The text in the .txt beside a picture, "" where there is none."""
    try:
        with open_plain(path.with_suffix(".txt")) as file:
            return file.read(MAX_CAPTION_BYTES).decode("utf-8-sig", "replace").strip()
    except OSError:
        return ""


def refuse_folder(path: Path, uri: str) -> Reject:
    """Why a folder among the pictures was not looked into."""
    if path.is_symlink():
        return Reject(uri, "unreadable", "a link to a folder, which is not followed; put the folder itself there")
    return Reject(uri, "unreadable", "a folder that may not be listed")


def list_files(root: Path) -> list[tuple[str, int]]:
    """(relative path with forward slashes, byte size) of every input below `root`, sorted by the path's bytes.

    The size is -1 for what is no ordinary file, and FOLDER for a folder that is not looked into. Raises SourceError
    where `root` itself may not be listed.
    """
    found: list[tuple[str, int]] = []

    def closed(error: OSError) -> None:
        folder = Path(str(error.filename))
        if folder == root:
            raise SourceError(f"folder {root} cannot be listed ({error.strerror})") from error
        found.append((folder.relative_to(root).as_posix(), FOLDER))

    for folder, folders, names in os.walk(root, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [(Path(folder, name).relative_to(root).as_posix(), FOLDER) for name in linked]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix.lower() not in SIDECARS:
                found.append((path.relative_to(root).as_posix(), size_of(path)))
    return sorted(found, key=lambda pair: os.fsencode(pair[0]))
