"""Parquet tables larger than memory: rows in order, with one row group open at a time.

pyarrow is imported when a table is first opened, so that everything else works without it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import ConfigError, SourceError
from shards.guard.parquet_pages import check_column
from shards.guard.plain_file import open_plain
from shards.guard.pointer import refuse_pointer

BATCH = 8
"""Rows decoded at once."""
MAX_ROWS = 1 << 20
"""Most rows of a table; those of Pick-a-Pic have about 1,400."""


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
