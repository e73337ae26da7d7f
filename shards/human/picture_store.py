"""Pictures of Pick-a-Pic found by their uid among its tables, kept on disk while the import lasts."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shards.errors import SourceError, UserError
from shards.files import make_folder, write_bytes, write_json
from shards.guard.json_text import read_json
from shards.guard.plain_file import is_plain, read_plain
from shards.source import fingerprint
from shards.sources.parquet import TABLE_ERRORS, open_table, picture_bytes, plain_value, stream

MAX_CAPTION = 1 << 16
"""Characters of a caption that are stored meanwhile; samples keep fewer."""
MAX_PICTURE = 1 << 27
"""Largest picture in a cell, in bytes."""
SAFE_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
PAIRS = (("image_0_uid", "jpg_0"), ("image_1_uid", "jpg_1"))
"""Pick-a-Pic: the column of uids and the column of that picture's bytes."""


class PictureStore:
    """Pictures kept on disk by uid while the tables are searched: ROOT/ab/UID and its caption ROOT/ab/UID.txt.

    A table that was searched for the same uids leaves a mark, so that a search that was stopped resumes behind it.
    """

    def __init__(self, root: Path, wanted: frozenset[str]) -> None:
        self.root, self.wanted = root, wanted
        self.search = fingerprint(sorted(wanted))[:16]

    def path(self, uid: str) -> Path:
        """Where a picture is or would be. Only for uids that `safe` allows."""
        return self.root / uid[:2].lower() / uid

    def missing(self) -> set[str]:
        return {uid for uid in self.wanted if not is_plain(self.path(uid))}

    def put(self, uid: str, data: bytes, caption: str) -> None:
        make_folder(self.path(uid).parent)
        write_bytes(self.path(uid).with_suffix(".txt"), caption.encode("utf-8", "replace"))
        write_bytes(self.path(uid), data)

    def get(self, uid: str) -> tuple[bytes, str] | None:
        """(bytes, caption), or None where no table held the picture."""
        path = self.path(uid)
        if not is_plain(path):
            return None
        try:
            caption = read_plain(path.with_suffix(".txt"), 4 * MAX_CAPTION).decode("utf-8", "replace")
            return read_plain(path, MAX_PICTURE), caption
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror or error}); delete {self.root}") from error

    def _mark(self, table: Path) -> Path:
        return self.root / "searched" / f"{table.name}.json"

    def is_searched(self, table: Path) -> bool:
        try:
            stored = read_json(self._mark(table))
        except UserError:  # none, or damaged: searched again
            return False
        return bool(stored == {"bytes": table.stat().st_size, "search": self.search})

    def mark(self, table: Path) -> None:
        make_folder(self._mark(table).parent)
        write_json(self._mark(table), {"bytes": table.stat().st_size, "search": self.search})


def safe(uid: str) -> bool:
    """Whether a uid may become a file name."""
    return SAFE_UID.fullmatch(uid) is not None


def gather(tables: Sequence[Path], store: PictureStore, advance: Any) -> None:
    """Search tables for the pictures `store` lacks; ends early when it has all. `advance(bytes)` reports progress.

    Of several rows with one uid the first counts. Raises SourceError, OutputError.
    """
    missing = store.missing()
    for path in tables:
        if not missing:
            return
        if not store.is_searched(path):
            search_table(path, store, missing)
            store.mark(path)
        advance(path.stat().st_size)


def search_table(path: Path, store: PictureStore, missing: set[str]) -> None:
    """Move every missing picture that a table holds into the store."""
    uids = [name for name, _ in PAIRS]
    table = open_table(path, [name for pair in PAIRS for name in pair])
    captioned = "caption" in table.schema_arrow.names
    for group in range(table.metadata.num_row_groups):
        if not may_hold(table.metadata.row_group(group), uids, sorted(missing)):
            continue
        # A column at a time: a page may be as large as its part of the row group.
        for picture, hits in find_hits(table, path, group, missing).items():
            columns = [picture, "caption"] if captioned else [picture]
            take_hits(stream(table, path, group, columns), picture, hits, store, missing)


def may_hold(group: Any, columns: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a row group's statistics allow that one of the sorted uids is in one of the columns."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema not in columns:
            continue
        facts = column.statistics
        try:
            if facts is None or not facts.has_min_max or not isinstance(facts.min, str):
                return True
            at = bisect.bisect_left(wanted, facts.min)
            if at < len(wanted) and wanted[at] <= facts.max:
                return True
        except TABLE_ERRORS:  # no UTF-8, for one: the statistics say nothing
            return True
    return False


def find_hits(table: Any, path: Path, group: int, missing: set[str]) -> dict[str, dict[int, str]]:
    """Column of pictures -> {row of the group: uid}; reads only the columns of uids."""
    found: dict[str, dict[int, str]] = {}
    for row, values in enumerate(stream(table, path, group, [name for name, _ in PAIRS])):
        for name, picture in PAIRS:
            uid = plain_value(values[name])
            if isinstance(uid, str) and uid in missing:
                found.setdefault(picture, {})[row] = uid
    return found


def take_hits(
    rows: Iterator[dict[str, Any]], picture: str, hits: Mapping[int, str], store: PictureStore, missing: set[str]
) -> None:
    """Store the pictures of the rows that were hit; stops behind the last one."""
    last = max(hits)
    for row, values in enumerate(rows):
        uid = hits.get(row)
        data = picture_bytes(plain_value(values[picture])) if uid in missing else b""
        if len(data) > MAX_PICTURE:
            data = b""
        if uid is not None and data:
            caption = plain_value(values["caption"]) if "caption" in values else ""
            store.put(uid, data, caption[:MAX_CAPTION] if isinstance(caption, str) else "")
            missing.discard(uid)
        if row == last:
            return
