"""Pictures with their artifact masks, from labelled runs and from folders of predictions alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from applications.seen import Seen, open_seen
from applications.tables import Names, TableError, read_csv
from detector.inputs import ShardPictures
from detector.predict import RUN
from region_select.report import stored_regions
from shards.masks import U8
from shards.reader import ShardReader
from shards.schema import MAX_PIXELS, Meta
from shards.source import Region

BY = ("set", "label", "method")
ALL = "all"


@dataclass(frozen=True)
class Item:
    """One picture. `mask` uint8 HW with 0, 1, 255; `is_clean` None where nobody knows."""

    key: str
    group: str
    mask: U8
    picture: Callable[[], U8]
    regions: tuple[Region, ...] = ()
    is_clean: bool | None = None


@dataclass(frozen=True)
class Classes:
    """Class maps of a semantic segmentation: DIR/KEY.png, 8-bit, and what the numbers are."""

    folder: Path
    names: Mapping[int, str]
    stuff: frozenset[str] = field(default_factory=frozenset)
    """Names that are no objects."""

    def regions(self, key: str, shape: tuple[int, ...]) -> tuple[Region, ...]:
        """A region for each class of a picture that is no stuff. Raises TableError."""
        path = self.folder / f"{key}.png"
        try:
            with Image.open(path, formats=("PNG",)) as opened:
                if opened.mode not in ("L", "P") or opened.width * opened.height > MAX_PIXELS:
                    raise TableError(
                        f"{path} is no 8-bit map of at most {MAX_PIXELS} pixels; save class numbers 0..255"
                    )
                found = np.asarray(opened)
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, TableError):
                raise
            raise TableError(f"the class map {path} cannot be read ({error}); segment the picture again") from error
        if found.shape != shape:
            raise TableError(f"the class map {path} is {found.shape}, its mask {shape}; they must be of one size")
        numbers = [int(number) for number in np.unique(found)]
        unknown = [number for number in numbers if number not in self.names]
        if unknown:
            raise TableError(f"{path} holds the class {unknown[0]}, which the table of classes does not name")
        wanted = [number for number in numbers if self.names[number] not in self.stuff]
        return tuple(Region(self.names[number], (found == number).astype(np.uint8), "class") for number in wanted)


def read_classes(folder: Path, table: Path) -> Classes:
    """Class maps with a CSV of id, name and kind (`object` or `stuff`). Raises MissingInputError, TableError."""
    names: dict[int, str] = {}
    stuff = set()
    for number, row in enumerate(read_csv(table, ("id", "name", "kind")), 1):
        if not row["id"].isdigit() or len(row["id"]) > 3 or row["kind"] not in ("object", "stuff") or not row["name"]:
            raise TableError(f"{table}, row {number}: needed are an id of 0 to 255, a name, and object or stuff")
        names[int(row["id"])] = row["name"]
        if row["kind"] == "stuff":
            stuff.add(row["name"])
    return Classes(folder, names, frozenset(stuff))


def items_of(
    where: Path, by: str = "set", categories: Path | None = None, classes: Classes | None = None, real: bool = False
) -> Iterator[Item]:
    """The pictures of a run (their labels) or of a folder of `detect predict` (what it marked).

    Args:
        by: what groups samples: set, label or method. categories: a CSV with key and category instead; pictures of a
            folder are grouped by their folder. real: the pictures are photographs, so whatever is marked is wrong.

    Raises MissingInputError, SchemaError, TableError, ConfigError.
    """
    if by not in BY:
        raise TableError(f"--by is {by!r}; allowed are {', '.join(BY)}")
    if (where / RUN).is_file():
        yield from predicted(open_seen(where), by, categories, classes, real)
    else:
        yield from labelled(ShardReader(where), by, categories, classes)


def labelled(reader: ShardReader, by: str, categories: Path | None, classes: Classes | None) -> Iterator[Item]:
    """Samples of a run with their labels."""
    keys = [reader.key(index) for index in range(len(reader))] if categories else []
    given = read_categories(categories, Names(dict(zip(keys, keys, strict=True)))) if categories else None
    for index in range(len(reader)):
        meta, mask, key = reader.meta(index), reader.mask(index), reader.key(index)
        group = given.get(key, "") if given is not None else group_of(meta, by)
        regions = classes.regions(key, mask.shape) if classes else stored_regions(meta)
        yield Item(key, group, mask, lambda at=index: reader.image(at), regions, meta.label == "clean")  # type: ignore[misc]


def predicted(seen: Seen, by: str, categories: Path | None, classes: Classes | None, real: bool) -> Iterator[Item]:
    """Pictures of a folder of predictions with what was marked; samples keep their facts."""
    given = read_categories(categories, seen.names()) if categories else None
    reader = seen.inputs.reader if isinstance(seen.inputs, ShardPictures) else None
    for row in seen.rows:
        meta = reader.meta(seen.places[row.key]) if reader is not None else None
        if given is not None:
            group = given.get(row.key, "")
        else:
            group = group_of(meta, by) if meta else row.key.rpartition("__")[0]
        mask = seen.mask(row.key)
        if classes:
            regions = classes.regions(row.key, mask.shape)
        else:
            regions = stored_regions(meta) if meta else ()
        clean = True if real else meta.label == "clean" if meta else None
        yield Item(row.key, group or ALL, mask, lambda key=row.key: seen.picture(key), regions, clean)  # type: ignore[misc]


def group_of(meta: Meta, by: str) -> str:
    """What a sample is grouped by."""
    found = {"set": meta.source.set, "label": meta.label, "method": meta.corruption.method}[by]
    return found or ALL


def read_categories(path: Path, names: Names) -> dict[str, str]:
    """Key -> category, of a CSV with the columns key and category. Raises MissingInputError, TableError."""
    rows: Sequence[dict[str, str]] = read_csv(path, ("key", "category"))
    return {names.find(row["key"], f"{path}, row {number}"): row["category"] for number, row in enumerate(rows, 1)}
