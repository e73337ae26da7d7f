"""Which tars a place holds: a run, a folder of tars, a tar, a glob; here or in an object store."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from shards.config import INSTALLED
from shards.errors import MissingInputError, SchemaError, UserError
from shards.guard.plain_file import open_plain
from shards.store_run import address_of, find_stored
from shards.store_tar import StoredTar

Tar = Path | StoredTar
"""A tar of this machine, or one in an object store."""


def find_shards(where: str | Tar | Sequence[str | Tar], whole: bool = False) -> list[Tar]:
    """A run folder, a folder of tars, a tar, a glob, or a list of these -> tars in order.

    A folder that is not there is looked for beside the installed packages, where our labelled sets are. An address,
    s3://bucket/run, gs:// or az://, is listed there (whole: shards/store_tar.py).

    Raises MissingInputError; SchemaError for a file that is plainly something else; SourceError where a store cannot be
    reached.
    """
    if isinstance(where, StoredTar):
        return [where]
    if not isinstance(where, (str, Path)):
        return [path for one in where for path in find_shards(one, whole)]
    address = address_of(where)
    if address is not None:
        return list(find_stored(address, whole))
    try:
        return list(_find_shards(where))
    except UserError:
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or holds what no name may
        raise MissingInputError(f"shards {str(where)[:200]!r} cannot be looked at ({error})") from error


def _find_shards(where: str | Path) -> list[Path]:
    path = Path(where)
    if not path.exists() and (INSTALLED / path).is_dir():
        path = INSTALLED / path
    if path.is_dir():
        found = sorted((path / "shards").glob("*.tar")) or sorted(path.glob("*.tar"))
        if not found:
            raise MissingInputError(f"no shards in {path}; expected {path}/shards/*.tar or {path}/*.tar")
        return found
    if path.is_file():
        kind = other_kind(path)
        if kind:
            raise SchemaError(f"{path} is {kind}, no shard; name a run, a tar or a glob (docs/reference/formats.md)")
        return [path]
    matches = sorted(Path(name) for name in glob.glob(str(where), recursive=True))
    if not matches:
        raise MissingInputError(f"shards {where} do not exist; name a run folder, a tar or a glob")
    return matches


def other_kind(path: Path) -> str:
    """What a file is that somebody may take for a shard, by its first bytes; "" where it may be a tar."""
    if path.suffix.lower() == ".tar":
        return ""
    try:
        with open_plain(path) as file:
            head = file.read(64)
    except OSError:
        return ""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "a JSON file (COCO annotations, for example)"
    pictures = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")
    return "a picture" if head.startswith(pictures) else ""
