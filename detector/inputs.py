"""Pictures to look at: one, a folder, a glob, or shards; each a named picture or a reject, read when asked for."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import InputError
from shards.config import INSTALLED
from shards.errors import MissingInputError, SchemaError, UserError
from shards.guard.names import distinct_names
from shards.guard.plain_file import open_plain, size_of
from shards.masks import U8
from shards.reader import ShardReader
from shards.schema import decode_image
from shards.source import Reject
from shards.sources.folder import list_files
from shards.sources.image_headers import LONG_HEAD, decoding_cost, head_sides
from shards.sources.pictures import MAX_FILE_BYTES, read_file, read_picture
from shards.store_run import address_of


@dataclass(frozen=True)
class Stored:
    """A picture as it is stored; `key` names its files, `uri` says where it came from, `sha256` what it is."""

    key: str
    uri: str
    data: bytes
    sha256: str


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

    def cost(self, index: int) -> int:
        """Bytes of memory that reading and decoding picture `index` takes at most, from its first bytes."""
        path = self.paths[index]
        size = size_of(path)
        if not 0 < size <= MAX_FILE_BYTES:
            return 0
        try:
            with open_plain(path) as file:
                return size + decoding_cost(head_sides(file.read(LONG_HEAD)))
        except OSError:
            return 0

    def read(self, index: int) -> Stored | Reject:
        """Picture `index` undecoded, or why it cannot be used. Only ordinary files are opened."""
        path = self.paths[index]
        data = read_file(path, str(path))
        if isinstance(data, Reject):
            return data
        return Stored(self.keys[index], str(path), data, hashlib.sha256(data).hexdigest())

    def decode(self, stored: Stored) -> U8 | Reject:
        """uint8 HWC RGB, or why it is no picture."""
        return read_picture(stored.data, stored.uri)


class ShardPictures:
    """The images of shards by position; keys are the samples', numbered by run where several runs share a key."""

    def __init__(self, reader: ShardReader) -> None:
        self.reader = reader
        keys = [reader.key(i) for i in range(len(reader))]
        twice = {key for key, count in Counter(keys).items() if count > 1}
        folders = sorted({path.parent for path in reader.paths}, key=str)
        self.keys = distinct_names(
            f"{folders.index(reader.path(i).parent)}_{key}" if key in twice else key for i, key in enumerate(keys)
        )

    def __len__(self) -> int:
        return len(self.reader)

    def cost(self, index: int) -> int:
        """As of `Pictures`."""
        try:
            name = self.reader.image_name(index)
            head = self.reader.head(index, name, LONG_HEAD)
        except SchemaError:
            return 0
        return self.reader.member_size(index, name) + decoding_cost(head_sides(head))

    def read(self, index: int) -> Stored | Reject:
        uri = f"{self.reader.path(index)}:{self.reader.key(index)}"
        try:
            data = self.reader.member(index, self.reader.image_name(index))
        except SchemaError as error:
            return Reject(uri, "truncated", str(error))
        return Stored(self.keys[index], uri, data, hashlib.sha256(data).hexdigest())

    def decode(self, stored: Stored) -> U8 | Reject:
        try:
            return decode_image(stored.data)
        except SchemaError as error:
            return Reject(stored.uri, "truncated", str(error))


Inputs = Pictures | ShardPictures


def open_inputs(where: str) -> Inputs:
    """What `where` names: files of this machine, or shards here or in a store.

    Raises MissingInputError, InputError (a folder without pictures), SchemaError (bad tars), SourceError (a store).
    """
    try:
        return find_inputs(where)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or holds what no name may
        raise MissingInputError(f"input {where[:200]!r} cannot be looked at ({error})") from error


def find_inputs(where: str) -> Inputs:
    if address_of(where) is not None:
        return ShardPictures(ShardReader(where, whole=True))
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
    return distinct_names(long if many[short] > 1 else short for short, long in zip(plain, full, strict=True))
