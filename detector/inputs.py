"""Pictures to look at: one, a folder, a glob, or shards; each a named picture or a reject, loaded when asked for."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import InputError
from shards.config import INSTALLED
from shards.errors import MissingInputError, SchemaError
from shards.masks import U8
from shards.reader import ShardReader
from shards.source import Reject
from shards.sources.folder import list_files
from shards.sources.pictures import read_picture


@dataclass(frozen=True)
class Picture:
    """image uint8 HWC RGB; `key` names its files, `uri` says where it came from."""

    key: str
    uri: str
    image: U8


class Pictures:
    """Files by position.

    Args:
        paths: the files. root: their keys are relative to it.
    """

    def __init__(self, paths: Sequence[Path], root: Path) -> None:
        self.paths = list(paths)
        self.keys = make_keys([path.relative_to(root) for path in paths])

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Picture | Reject:
        """Picture `index`, or why it cannot be used."""
        path = self.paths[index]
        try:
            image = read_picture(path.read_bytes(), str(path))
        except OSError as error:
            return Reject(str(path), "unreadable", error.strerror or str(error))
        return image if isinstance(image, Reject) else Picture(self.keys[index], str(path), image)


class ShardPictures:
    """The images of shards by position; keys are the samples', numbered by run where several runs share a key."""

    def __init__(self, reader: ShardReader) -> None:
        self.reader = reader
        keys = [reader.key(i) for i in range(len(reader))]
        twice = {key for key, count in Counter(keys).items() if count > 1}
        folders = sorted({path.parent for path in reader.paths})
        self.keys = [
            f"{folders.index(reader.path(i).parent)}_{key}" if key in twice else key for i, key in enumerate(keys)
        ]

    def __len__(self) -> int:
        return len(self.reader)

    def load(self, index: int) -> Picture | Reject:
        uri = f"{self.reader.path(index)}:{self.reader.key(index)}"
        try:
            return Picture(self.keys[index], uri, self.reader.image(index))
        except SchemaError as error:
            return Reject(uri, "truncated", str(error))


def open_inputs(where: str) -> Pictures | ShardPictures:
    """What `where` names. Raises MissingInputError, InputError (a folder without pictures), SchemaError (bad tars).

    A folder that is not there is looked for beside the installed packages, where our labelled sets are.
    """
    path = Path(where)
    if not path.exists() and (INSTALLED / path).is_dir():
        path = INSTALLED / path
    if path.is_dir():
        if any(path.glob("shards/*.tar")) or any(path.glob("*.tar")):
            return ShardPictures(ShardReader(path))
        found = [path / name for name, _ in list_files(path)]
        if not found:
            raise InputError(f"{path} holds no pictures and no shards; name a folder of pictures, a glob, or a run")
        return Pictures(found, path)
    if path.is_file():
        return ShardPictures(ShardReader(path)) if path.suffix == ".tar" else Pictures([path], path.parent)
    matches = sorted(Path(name) for name in glob.glob(where, recursive=True) if not Path(name).is_dir())
    if not matches:
        raise MissingInputError(f"input {where} does not exist; name a picture, a folder, a glob or shards")
    if all(match.suffix == ".tar" for match in matches):
        return ShardPictures(ShardReader(matches))
    roots = {match.parent for match in matches}
    return Pictures(matches, matches[0].parent if len(roots) == 1 else common_root(matches))


def common_root(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all paths."""
    first, last = min(p.parent.parts for p in paths), max(p.parent.parts for p in paths)
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return Path(*first[:shared]) if shared else Path()


def make_keys(relative: Sequence[Path]) -> list[str]:
    """Flat names without extension, folders joined by `__`; with extension, then with a number, where two meet."""
    plain = [path.with_suffix("").as_posix().replace("/", "__") for path in relative]
    full = [path.as_posix().replace("/", "__") for path in relative]
    many = Counter(plain)
    keys = [long if many[short] > 1 else short for short, long in zip(plain, full, strict=True)]
    seen: Counter[str] = Counter()
    for at, key in enumerate(keys):
        seen[key] += 1
        if seen[key] > 1:
            keys[at] = f"{key}__{seen[key]}"
    return keys
