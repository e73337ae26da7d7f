"""Parquet tables larger than memory: rows in order, and pictures found by their uid, with one row group open at a time.

pyarrow is imported when a table is first opened, so that everything else works without it.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import ConfigError, SourceError, UserError
from shards.files import make_folder, write_bytes, write_json
from shards.guard.json_text import read_json
from shards.guard.parquet_pages import check_column
from shards.guard.plain_file import is_plain, open_plain, read_plain
from shards.human.importing import fingerprint, refuse_pointer

BATCH = 8
"""Rows decoded at once."""
MAX_ROWS = 1 << 20
"""Most rows of a table; those of Pick-a-Pic have about 1,400."""
MAX_CAPTION = 1 << 16
"""Characters of a caption that are stored meanwhile; samples keep fewer."""
MAX_PICTURE = 1 << 27
"""Largest picture in a cell, in bytes."""
SAFE_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
PAIRS = (("image_0_uid", "jpg_0"), ("image_1_uid", "jpg_1"))
"""Pick-a-Pic: the column of uids and the column of that picture's bytes."""


def open_table(path: Path, columns: Sequence[str]) -> Any:
    """A pyarrow ParquetFile that streams. Raises SourceError: pointer, damaged, or a column is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(
            "reading Parquet needs pyarrow, which is not installed: pip install 'blemish[tables]'"
        ) from error
    refuse_pointer(path)
    try:
        table = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        names = table.schema_arrow.names
        rows = [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]
    except (*TABLE_ERRORS, pa.ArrowException) as error:
        raise SourceError(f"{path} is no readable Parquet file ({first_line(error)}); fetch it again") from error
    missing = [name for name in columns if name not in names]
    if missing:
        shown = ", ".join(names)[:500]
        raise SourceError(f"{path} has no column {', '.join(missing)}; its columns are {shown}")
    if min(rows, default=0) < 0 or sum(rows) > MAX_ROWS:
        raise SourceError(f"{path} states {sum(rows)} rows; tables of 0 to {MAX_ROWS} are read")
    return table


TABLE_ERRORS = (OSError, ValueError, KeyError, TypeError, NotImplementedError, OverflowError)
"""What pyarrow raises on damaged tables beside its own ArrowException; names that are no UTF-8 are a ValueError."""


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


def stream(table: Any, path: Path, group: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of one row group as {column: pyarrow scalar}. Raises SourceError on damage, and for pages too large."""
    import pyarrow as pa

    check_pages(table, path, group, columns)
    try:
        for batch in table.iter_batches(BATCH, row_groups=[group], columns=list(columns), use_threads=False):
            parts = [batch.column(name) for name in columns]
            for row in range(batch.num_rows):
                yield {name: part[row] for name, part in zip(columns, parts, strict=True)}
    except (*TABLE_ERRORS, pa.ArrowException) as error:
        raise SourceError(f"{path}: row group {group} is damaged ({first_line(error)}); fetch it again") from error


def check_pages(table: Any, path: Path, group: int, columns: Sequence[str]) -> None:
    """Look at the pages of some columns of a row group before they are unpacked. Raises SourceError."""
    import pyarrow as pa

    try:
        with open_plain(path) as file:

            def read(offset: int, size: int) -> bytes:
                file.seek(offset)
                return file.read(size)

            facts = table.metadata.row_group(group)
            for number in range(facts.num_columns):
                column = facts.column(number)
                if column.path_in_schema.split(".")[0] in columns:
                    check_column(column, read, table.schema.column(number).max_repetition_level > 0)
    except (*TABLE_ERRORS, pa.ArrowException) as error:
        raise SourceError(f"{path}: row group {group} is not usable ({first_line(error)}); fetch it again") from error


def plain_value(scalar: Any) -> Any:
    """A pyarrow scalar -> None, bytes, str, number, {"bytes", "path"}, or a numpy array for nested lists.

    Text that is no UTF-8 stays bytes.
    """
    if not scalar.is_valid:
        return None
    if is_list(scalar.type):
        return plain_array(scalar.values)
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes() if hasattr(scalar, "as_buffer") else None


def plain_array(values: Any) -> NDArray[Any]:
    """A pyarrow array of numbers, or of lists of one length -> the same as numpy, empty where it is neither."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = [len(values)]
    try:
        while is_list(values.type):
            lengths = pc.list_value_length(values).unique().to_pylist()
            if len(lengths) != 1:
                return np.zeros(0)  # ragged: no plane, and whoever decodes it says so
            shape.append(lengths[0])
            values = values.flatten()
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            return np.zeros(0)
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)
    except (*TABLE_ERRORS, pa.ArrowException):
        return np.zeros(0)  # gaps among the lists


def is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def picture_bytes(value: Any) -> bytes:
    """A picture's cell, bytes or the hub's {"bytes": ...} -> bytes; b"" where there are none."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


class Rows:
    """Rows of several tables as one list, meant to be read in order: reading row i after row i - 1 costs no seek.

    Raises SourceError if a table cannot be read or lacks one of `columns`.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str]) -> None:
        self.paths, self.columns = list(paths), list(columns)
        self._groups: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._length = 0
        for number, path in enumerate(self.paths):
            facts = open_table(path, columns).metadata
            for group in range(facts.num_row_groups):
                self._groups.append((number, group))
                self._starts.append(self._length)
                self._length += facts.row_group(group).num_rows
        if self._length > MAX_ROWS:
            raise SourceError(f"{self.paths[0].parent} holds {self._length} rows; at most {MAX_ROWS} are read")
        self._next, self._rows = 0, self._from(0)

    def __len__(self) -> int:
        return self._length

    def _from(self, index: int) -> Iterator[dict[str, Any]]:
        first = max(0, bisect.bisect_right(self._starts, index) - 1)
        skip = index - self._starts[first] if self._starts else 0
        table, opened = None, -1
        for number, group in self._groups[first:]:
            path = self.paths[number]
            if number != opened:
                table, opened = open_table(path, self.columns), number
            for row in stream(table, path, group, self.columns):
                if skip:
                    skip -= 1
                else:
                    yield row

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{column: plain value} of row `index`."""
        if not 0 <= index < self._length:
            raise IndexError(f"row {index} is outside 0..{self._length - 1}")
        if index != self._next:
            self._rows = self._from(index)
        self._next = index + 1
        row = next(self._rows, None)
        if row is None:
            raise SourceError(f"{self.paths[-1].parent}: the tables end before row {index}, of {self._length} stated")
        return {name: plain_value(value) for name, value in row.items()}


class PictureStore:
    """Pictures kept on disk by uid while the tables are searched: ROOT/ab/UID and its caption ROOT/ab/UID.txt.

    A table that was searched for the same uids leaves a mark, so that a search that was stopped goes on behind it.
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
