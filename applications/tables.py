"""CSV files from outside: bounded, with a header, every fault named by file and row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from shards.errors import MissingInputError, UserError
from shards.guard.json_text import TABLE
from shards.guard.plain_file import read_plain


class TableError(UserError, ValueError):
    """A CSV file, or what it says, that cannot be used."""


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with at least these columns, cells stripped; row k is on line k + 2 unless cells have lines.

    Raises MissingInputError, TableError.
    """
    try:
        text = read_plain(path, TABLE.max_bytes).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise MissingInputError(f"{path} does not exist; name a CSV with the columns {', '.join(columns)}") from error
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read as UTF-8 text ({error}); save it as CSV") from error
    try:
        reader = csv.DictReader(io.StringIO(text))
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise TableError(f"{path} has no column {', '.join(missing)}; needed are {', '.join(columns)}")
        rows = [{name: (row.get(name) or "").strip() for name in reader.fieldnames or ()} for row in reader]
    except csv.Error as error:
        raise TableError(f"{path} is no CSV ({error})") from error
    if not rows:
        raise TableError(f"{path} holds no rows; needed are the columns {', '.join(columns)} and a row for each item")
    return rows


def read_scores(path: Path, names: Names) -> dict[str, float]:
    """Key of a picture -> its score, of a CSV with the columns key and score. Raises MissingInputError, TableError."""
    found: dict[str, float] = {}
    for number, row in enumerate(read_csv(path, ("key", "score")), 1):
        key = names.find(row["key"], f"{path}, row {number}")
        try:
            value = float(row["score"])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TableError(f"{path}, row {number}: the score is {row['score'][:40]!r}; needed is a finite number")
        if found.setdefault(key, value) != value:
            raise TableError(f"{path}, row {number}: {key} has two scores, {found[key]:g} and {value:g}")
    return found


class Names:
    """What pictures may be called in a CSV: the key, the whole uri, or its file name where only one has it.

    Args:
        uris: key -> uri.
    """

    def __init__(self, uris: Mapping[str, str]) -> None:
        self.known: dict[str, str | None] = {}
        for key, uri in uris.items():
            for name in {uri, uri.replace("\\", "/").rpartition("/")[2]}:
                self.known[name] = None if name in self.known else key  # None: several have it
        self.known |= {key: key for key in uris}

    def find(self, name: str, where: str) -> str:
        """The key. Raises TableError naming `where`."""
        key = self.known.get(name)
        if key is None:
            why = "is the name of several pictures; use their keys" if name in self.known else "is no picture there"
            raise TableError(
                f"{where}: {name[:80]!r} {why} (known are keys such as {next(iter(self.known.values()), '')!r})"
            )
        return key
