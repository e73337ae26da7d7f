"""Which pictures of a source are used: by size, by aspect, by how few artifacts a detector finds, and at random.

The lot is drawn by name (sha256 of seed and uri), so that it is the same on every machine and whatever order files are
listed in. What is examined and left out is kept with its reason; what is merely not drawn is counted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from shards.errors import ConfigError, MissingInputError, SourceError
from shards.guard.json_text import TABLE, parse_json
from shards.guard.names import file_name
from shards.guard.plain_file import read_plain
from shards.source import Reject

KEY_COLUMNS = ("uri", "key", "name", "sha256")
"""Columns of a PAR table that may name a picture; of a row that has several, all do."""


@dataclass(frozen=True)
class Selection:
    """What a source uses of its pictures; by default all. Size and aspect are those that a file's head states."""

    count: int = 0
    """Draw so many of those that fit; 0 takes all."""
    seed: int = 0
    """Of the draw."""
    min_side: int = 0
    """Smallest shorter side in pixels."""
    max_side: int = 0
    """Largest longer side in pixels; 0 for any."""
    max_aspect: float = 0.0
    """Largest longer side / shorter side, 1 for squares only; 0 for any."""
    par: str = ""
    """CSV or JSON with the share of artifact pixels (`par`, 0..1) of each picture by uri, key, name or sha256, such as
    par.csv of `python -m detector predict`. Pictures that it does not name are left out."""
    max_par: float = -1.0
    """Largest PAR; must be given with `par`."""

    def __post_init__(self) -> None:
        if min(self.count, self.min_side, self.max_side) < 0:
            raise ValueError(
                f"count, min_side and max_side must be 0 or more, got {self.count}, {self.min_side}, {self.max_side}"
            )
        if self.max_side and self.max_side < self.min_side:
            raise ValueError(f"max_side is {self.max_side}, below min_side, {self.min_side}")
        if self.max_aspect and not self.max_aspect >= 1:
            raise ValueError(f"max_aspect is {self.max_aspect}; it is longer side / shorter side: 1 or more, or 0")
        if self.par and not 0.0 <= self.max_par <= 1.0:
            raise ValueError(f"max_par is {self.max_par}; with a table of PAR values it must be given, 0 to 1")

    @property
    def active(self) -> bool:
        return self != Selection()

    def refuse_sides(self, sides: tuple[int, int] | None, uri: str) -> Reject | None:
        """Judge (width, height). Unknown ones pass: the picture itself is judged when it is read."""
        if sides is None:
            return None
        short, long = min(sides), max(sides)
        size = f"{sides[0]}x{sides[1]} pixels"
        if short < self.min_side:
            return Reject(uri, "too_small", f"{size}; the shorter side must be at least {self.min_side}")
        if self.max_side and long > self.max_side:
            return Reject(uri, "too_large", f"{size}; the longer side may be {self.max_side}")
        if self.max_aspect and long > self.max_aspect * short:
            return Reject(uri, "aspect", f"{size}; longer / shorter side may be {self.max_aspect:g}")
        return None


class Candidates(Protocol):
    """What the choice must know of a source's pictures; a place counts all of them."""

    def uri(self, place: int) -> str: ...
    def uris(self, places: Sequence[int]) -> Iterator[str]: ...
    def sides(self, place: int) -> tuple[int, int] | None: ...
    def unwanted(self, place: int) -> Reject | None: ...
    def broken(self, place: int) -> bool: ...


@dataclass
class Choice:
    """The outcome."""

    places: Sequence[int]
    """Chosen places in order, and those that are no pictures but must be accounted for."""
    left_out: list[Reject] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """For the manifest: numbers of pictures listed, chosen, not drawn, and left out by reason."""


def choose(selection: Selection, places: Sequence[int], candidates: Candidates, table: ParTable | None) -> Choice:
    """Examine pictures, in the order of the lot or of the source, until there are enough.

    Raises SourceError where fewer fit than were asked for.
    """
    kept = [place for place in places if candidates.broken(place)]
    chosen: list[int] = []
    left_out: list[Reject] = []
    for place in draw(selection, places, candidates):
        if selection.count and len(chosen) == selection.count:
            break
        if candidates.broken(place):
            continue
        uri = candidates.uri(place)
        refused = candidates.unwanted(place) or selection.refuse_sides(candidates.sides(place), uri)
        refused = refused or (table.refuse(uri) if table and not table.by_digest else None)
        if refused is None:
            chosen.append(place)
        else:
            left_out.append(refused)
    if len(chosen) < selection.count:
        raise SourceError(
            f"{selection.count} pictures were asked for and {len(chosen)} of {len(places)} fit "
            f"({tally(left_out) or 'nothing was left out'}); ask for fewer with select.count or select less strictly"
        )
    facts = {
        "listed": len(places) - len(kept),
        "chosen": len(chosen),
        "not_drawn": len(places) - len(kept) - len(chosen) - len(left_out),
        "left_out": dict(sorted(Counter(one.reason for one in left_out).items())),
        **({"par_sha256": table.sha256} if table else {}),
    }
    left_out.sort(key=lambda one: (one.uri, one.reason))
    return Choice(sorted(chosen + kept), left_out, facts)


def draw(selection: Selection, places: Sequence[int], candidates: Candidates) -> Iterator[int]:
    """Places in the order in which they are examined."""
    if not selection.count:
        return iter(places)

    def lot(uri: str) -> bytes:
        return hashlib.sha256(f"{selection.seed}/{uri}".encode("utf-8", "surrogateescape")).digest()

    return (place for _, place in sorted(zip(map(lot, candidates.uris(places)), places, strict=True)))


def tally(rejects: list[Reject]) -> str:
    """ "aspect 3, too_small 1"."""
    counted = Counter(one.reason for one in rejects)
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counted.items()))


class ParTable:
    """PAR by picture. A short name (what follows `#`, with folders joined by `__`, or the last part of a path alone;
    with or without its extension) finds a picture too, but only one."""

    def __init__(self, path: str, max_par: float) -> None:
        """Raises MissingInputError, ConfigError naming the first row that cannot be used."""
        self.path, self.max_par = path, max_par
        try:
            data = read_plain(path, TABLE.max_bytes)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or error
            raise MissingInputError(f"table of PAR values {path} cannot be read ({reason})") from error
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.values: dict[str, float] = {}
        for names, value in par_rows(data, path):
            for name in names:
                if self.values.setdefault(name, value) != value:
                    raise ConfigError(f"{path}: {name!r} has two values, {self.values[name]} and {value}")
        if not self.values:
            raise ConfigError(f"{path} names no picture; it needs rows with par and one of {', '.join(KEY_COLUMNS)}")
        self.by_digest = all(len(name) == 64 and not name.strip("0123456789abcdef") for name in self.values)
        """Whether the names are sha256 sums: known only when a picture is read, which is when it is refused."""
        self._found: dict[str, str] = {}

    def refuse(self, name: str) -> Reject | None:
        """Judge a picture by uri (or by sha256, where `by_digest`). Raises ConfigError where a short name fits two."""
        key = name if name in self.values else self._short(name)
        if key is None:
            return Reject(name, "no_par", f"{Path(self.path).name} does not name it")
        value = self.values[key]
        if value > self.max_par:
            return Reject(name, "high_par", f"PAR {value:.6g}; at most {self.max_par:g}")
        return None

    def _short(self, uri: str) -> str | None:
        inner = uri.rpartition("#")[2]
        base = inner.rpartition("/")[2]
        plain = inner.removesuffix(PurePosixPath(inner).suffix)
        flat = (uri.replace("/", "__"), file_name(uri.replace("/", "__")), plain.replace("/", "__"))
        for short in (*flat, inner, plain, base, base.partition(".")[0], base.rpartition(".")[0]):
            if short and short in self.values:
                if self._found.setdefault(short, uri) != uri:
                    raise ConfigError(
                        f"{self.path}: {short!r} fits {self._found[short]} and {uri}; name pictures by their full uri"
                    )
                return short
        return None


def par_rows(data: bytes, path: str) -> Iterator[tuple[list[str], float]]:
    """(names, PAR) of each row of a CSV with a header, of a JSON list of objects (also as `pictures` of an object), or
    of a JSON object from name to value."""
    rows: Any
    if path.lower().endswith(".json"):
        rows = parse_json(data, path, limits=TABLE, error=ConfigError)
        if isinstance(rows, dict):
            rows = rows["pictures"] if "pictures" in rows else [{"uri": k, "par": v} for k, v in rows.items()]
    else:
        try:
            rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig", "surrogateescape"))))
        except csv.Error as error:
            raise ConfigError(f"{path} is no CSV ({error})") from error
    for number, row in enumerate(rows if isinstance(rows, list) else [], 1):
        names = [str(row[column]) for column in KEY_COLUMNS if row.get(column)] if isinstance(row, dict) else []
        try:
            value = float(row["par"])
        except (KeyError, TypeError, ValueError):
            value = math.nan
        if not names or not 0.0 <= value <= 1.0:
            raise ConfigError(
                f"{path}: row {number} is {str(row)[:80]!r}; it needs par, 0 to 1, and one of {', '.join(KEY_COLUMNS)}"
            )
        yield names, value
