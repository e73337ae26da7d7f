"""Parquet files of samples as the Hugging Face hub lays them out: data/SPLIT-00000-of-00003.parquet.

Which samples go into which file follows from the sizes in the shards' index alone, so the same command again writes the
files that are missing and no others. A file holds at most FILE_BYTES of members, a row group GROUP_BYTES and
GROUP_ROWS: times the few groups under way, that is what writing takes of memory.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.ahead import ahead
from shards.card import size_category, yaml_text
from shards.errors import ConfigError, SchemaError
from shards.export.arrow import array_of
from shards.export.parts import Part
from shards.files import HashingFile, make_folder, whole_file, write_bytes
from shards.guard.json_text import parse_object
from shards.progress import GOES_ON, Progress
from shards.schema import META_MEMBER

DATA, CARD = "data", "README.md"
FILE_BYTES, GROUP_BYTES, GROUP_ROWS = 500_000_000, 1 << 25, 1000
GROUPS_AHEAD = 2
COUNTS, ROWS = "blemish", "rows"
"""Key of a file's metadata that holds its counts; the count of its rows among them."""
INNER = ("bytes", "path")
"""Fields of a picture."""

Row = dict[str, Any]
RowOf = Callable[[int], "Row | str"]
"""Sample index -> its row, or in one word why it has none."""


@dataclass(frozen=True)
class Column:
    """One column: its type in Arrow and its feature in `datasets`, both by name."""

    kind: str
    """string, int64, float64, bool, binary or picture (a struct of bytes and path)."""
    feature: Mapping[str, Any]
    packed: bool = False
    """Whether its bytes are compressed already."""


TEXT = Column("string", {"dtype": "string", "_type": "Value"})
REAL = Column("float64", {"dtype": "float64", "_type": "Value"})
WHOLE = Column("int64", {"dtype": "int64", "_type": "Value"})
TRUTH = Column("bool", {"dtype": "bool", "_type": "Value"})
BYTES = Column("binary", {"dtype": "binary", "_type": "Value"}, packed=True)
PICTURE = Column("picture", {"_type": "Image"}, packed=True)


def need_pyarrow() -> None:
    """Raise ConfigError where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "writing Parquet needs pyarrow, which is not installed: pip install 'blemish[tables]'"
        ) from error


def write_tables(part: Part, out: Path, columns: Mapping[str, Column], row_of: RowOf) -> Counter[str]:
    """Write the files of one split that are not there; returns the number of rows, and of samples without, by reason.

    Raises SchemaError for a damaged sample, OutputError.
    """
    make_folder(out / DATA)
    sizes = part.reader.sizes()
    files = cut(sizes, FILE_BYTES, len(sizes))
    counts: Counter[str] = Counter()
    with Progress(len(sizes), "sample", part.split, leave=False, resumes=GOES_ON) as shown:
        for number, (start, stop) in enumerate(files):
            path = out / DATA / f"{part.split}-{number:05d}-of-{len(files):05d}.parquet"
            told = counts_of(path, stop - start)
            if told is None:
                told = write_file(path, groups_of(sizes, start, stop), columns, row_of, shown)
            else:
                shown.update(stop - start)
            counts.update(told)
    return counts


def cut(sizes: NDArray[np.int64], most_bytes: int, most_rows: int, start: int = 0) -> list[tuple[int, int]]:
    """Neighbouring samples (first, end excluded) of at most so many bytes and rows together; one alone may have more.

    No samples are one empty range, so that there is a file that says so.
    """
    ends = np.cumsum(sizes)
    cuts, first = [], 0
    while first < len(sizes):
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + most_bytes, side="right"))
        last = min(max(last, first + 1), first + most_rows)
        cuts.append((start + first, start + last))
        first = last
    return cuts or [(start, start)]


def groups_of(sizes: NDArray[np.int64], start: int, stop: int) -> list[range]:
    """The row groups of a file."""
    return [range(*one) for one in cut(sizes[start:stop], GROUP_BYTES, GROUP_ROWS, start)]


def write_file(
    path: Path, groups: list[range], columns: Mapping[str, Column], row_of: RowOf, shown: Progress
) -> Counter[str]:
    """One file, whole or absent, with its counts in its metadata."""
    import pyarrow.parquet as pq

    schema = schema_of(columns)
    counts: Counter[str] = Counter()

    def read(group: range) -> tuple[Any, Counter[str]]:
        return table_of(group, schema, row_of)

    plain = [name for name, column in columns.items() if not column.packed]
    paths = [f"{name}.{inner}" for name, column in columns.items() if column.kind == "picture" for inner in INNER]
    raw = [*paths, *(name for name, column in columns.items() if column.kind == "binary")]
    with whole_file(path, hashed=False) as file, closing(ahead(read, groups, 1, GROUPS_AHEAD, "exporter")) as tables:
        writer = pq.ParquetWriter(
            Sink(file),
            schema,
            compression={**dict.fromkeys(plain, "snappy"), **dict.fromkeys(raw, "none")},
            use_dictionary=[name for name in plain if columns[name].kind == "string"],
            write_statistics=plain,  # of pictures they would be pictures
        )
        with writer:
            for group, (table, told) in tables:
                writer.write_table(table, row_group_size=GROUP_ROWS)
                counts.update(told)
                shown.update(len(group))
            writer.add_key_value_metadata({COUNTS: json.dumps(counts)})
    return counts


def table_of(group: range, schema: Any, row_of: RowOf) -> tuple[Any, Counter[str]]:
    """A pyarrow table of these samples, and how many have a row or none."""
    import pyarrow as pa

    counts: Counter[str] = Counter()
    rows: list[Row] = []
    for index in group:
        row = row_of(index)
        if isinstance(row, str):
            counts[row] += 1
        else:
            counts[ROWS] += 1
            rows.append(row)
    arrays = [array_of([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema), counts


def counts_of(path: Path, samples: int) -> Counter[str] | None:
    """What a file that is there holds of so many samples; None where it is not there or not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        told = pq.read_metadata(path).metadata or {}
        counts = parse_object(told.get(COUNTS.encode(), b""), str(path))
    except (OSError, pa.ArrowException, SchemaError):
        return None
    numbers = all(type(value) is int and value >= 0 for value in counts.values())
    return Counter(counts) if numbers and sum(counts.values()) == samples else None


def schema_of(columns: Mapping[str, Column]) -> Any:
    """The pyarrow schema, with the features that `datasets` reads."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "binary": pa.binary(),
        "picture": pa.struct([(name, kind) for name, kind in zip(INNER, (pa.binary(), pa.string()), strict=True)]),
    }
    features = {name: dict(column.feature) for name, column in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kinds[column.kind]) for name, column in columns.items()], metadata=metadata)


class Sink(io.RawIOBase):
    """A file being written, as pyarrow takes one."""

    def __init__(self, file: HashingFile) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.file.write(memoryview(data))

    def tell(self) -> int:
        return self.file.tell()


def facts_of(part: Part, index: int) -> tuple[bytes, dict[str, Any]]:
    """The JSON of a sample as it is, and as an object. Raises SchemaError."""
    data = part.reader.member(index, META_MEMBER)
    return data, parse_object(data, f"{part.reader.key(index)}: metadata")


@cache
def names_in(path: str) -> tuple[str, ...]:
    """A dotted name in parts."""
    return tuple(path.split("."))


def told(facts: dict[str, Any], path: str, kind: type) -> Any:
    """A value of a sample's JSON by its dotted name. Raises SchemaError unless it is there with this type."""
    value: Any = facts
    for name in names_in(path):
        value = value.get(name) if type(value) is dict else None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise SchemaError(f"metadata: {path} is {repr(value)[:40]}, not of type {kind.__name__}; run `blemish check`")
    return value


def write_card(out: Path, parts: list[Part], rows: Mapping[str, int], title: str, tags: tuple[str, ...]) -> None:
    """OUT/README.md, by which the hub and `datasets` find the files. Raises OutputError."""
    listed = "".join(f"  - split: {part.split}\n    path: {DATA}/{part.split}-*.parquet\n" for part in parts)
    counts = "\n".join(f"- {part.split}: {rows[part.split]} rows" for part in parts)
    text = (
        f"---\ntags:\n{''.join(f'- {yaml_text(tag)}{chr(10)}' for tag in tags)}size_categories:\n"
        f"- {size_category(sum(rows.values()))}\nconfigs:\n- config_name: default\n  data_files:\n{listed}---\n\n"
        f"# {title}\n\n{counts}\n"
    )
    write_bytes(out / CARD, text.encode())


def picture(part: Part, index: int, name: str) -> dict[str, Any]:
    """A member as the hub's Image feature has it: its bytes, and the file's name."""
    return {"bytes": part.reader.member(index, name), "path": f"{part.reader.key(index)}.{name}"}
