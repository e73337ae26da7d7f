"""A page of many entries to look through: pictures in layers, facts to filter and to sort by.

    OUT/index.html             the page: its texts, and the columns of all entries
    OUT/entries/00000.XXXX.js  pictures and facts of a few entries, loaded when one of them comes into view

Everything is local: no server, no network, no library. An entry file is named by its bytes and the page is written
last, so that whoever looks meanwhile sees the old page or the new one. The page then removes the old entry files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from shards.document import data_url, document, script_json, text
from shards.errors import OutputError
from shards.files import leftover_of, make_folder, write_bytes
from shards.view.plots import histogram

PAGE, ENTRIES = "index.html", "entries"
CHUNK = 12
"""Entries a file: few enough that a sorted page, whose entries lie in many files, stays quick."""
ENTRY_FILE = re.compile(r"\d{5,}\.[0-9a-f]{8}\.js")


@dataclass(frozen=True)
class Column:
    """A fact of every entry: words become a menu, numbers a range."""

    name: str
    meaning: str
    words: bool = False
    percent: bool = False
    """Shares 0..1 that are shown in percent."""
    shown: bool = True
    """Below each picture."""
    plotted: bool = False
    """As a histogram above the entries."""


@dataclass(frozen=True)
class Panel:
    """A view of an entry: some of its pictures, one above the other."""

    name: str
    layers: tuple[int, ...]
    """Positions in `Entry.pictures`."""
    blend: str = ""
    """ "difference" of two layers; "" to lay one over the other."""
    shown: bool = False
    """From the beginning, without being asked for."""
    flip: int = -1
    """Which panel appears under the pointer instead; -1: none."""


@dataclass(frozen=True)
class Entry:
    """One of many."""

    key: str
    values: tuple[str | float | None, ...]
    """Of the columns, in their order; None where a number does not apply."""
    pictures: tuple[tuple[bytes, str] | None, ...]
    """File bytes and suffix; None where there is none."""
    caption: str = ""
    facts: str = ""


@dataclass(frozen=True)
class Gallery:
    """What a page is."""

    title: str
    columns: tuple[Column, ...]
    panels: tuple[Panel, ...]
    unit: str
    """What an entry is, in the plural."""
    order: str
    """How the entries come, for the menu of orders."""
    above: tuple[str, ...] = ()
    """HTML above the entries, escaped by the caller, as `below`."""
    below: tuple[str, ...] = ()


def write_gallery(out: Path, gallery: Gallery, entries: Iterable[Entry]) -> int:
    """Write the page; returns the number of entries. Memory: one file of entries and the columns.

    Raises OutputError, also where OUT holds something else.
    """
    check_out(out)
    make_folder(out / ENTRIES)
    keys: list[str] = []
    values: list[tuple[str | float | None, ...]] = []
    names: list[str] = []
    for chunk in chunks_of(entries, CHUNK):
        keys += [entry.key for entry in chunk]
        values += [entry.values for entry in chunk]
        names.append(write_entries(out / ENTRIES, len(names), chunk))
    data = {
        "keys": keys,
        "columns": [column_json(column, [row[i] for row in values]) for i, column in enumerate(gallery.columns)],
        "panels": [vars(panel) for panel in gallery.panels],
        "files": [f"{ENTRIES}/{name}" for name in names],
        "chunkSize": CHUNK,
        "order": gallery.order,
    }
    plots = "".join(plot(column, [row[i] for row in values]) for i, column in enumerate(gallery.columns))
    write_bytes(out / PAGE, page_text(gallery, data, plots).encode())
    for old in set(list_entries(out)) - set(names):
        (out / ENTRIES / old).unlink(missing_ok=True)
    return len(keys)


def chunks_of(entries: Iterable[Entry], size: int) -> Iterable[list[Entry]]:
    """Lists of `size`, the last one shorter."""
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def check_out(out: Path) -> None:
    """Raise OutputError where the folder holds anything but an earlier page of this kind."""
    try:
        there = {path.name for path in out.iterdir() if not leftover_of(path.name)} if out.is_dir() else set()
    except OSError as error:
        raise OutputError(f"{out} cannot be listed ({error.strerror})") from error
    if there - {PAGE, ENTRIES} or there == {PAGE}:
        first = min(there - {ENTRIES})
        raise OutputError(f"{out} holds something else ({first}); name an empty folder, or one of an earlier page")


def list_entries(out: Path) -> list[str]:
    """Names of entry files that are there."""
    return [path.name for path in (out / ENTRIES).iterdir() if ENTRY_FILE.fullmatch(path.name)]


def write_entries(folder: Path, number: int, chunk: Sequence[Entry]) -> str:
    """Write one file of entries unless it is there; returns its name. Raises OutputError."""
    plain = [
        {
            "pictures": [None if one is None else data_url(*one) for one in entry.pictures],
            "caption": entry.caption,
            "facts": entry.facts,
        }
        for entry in chunk
    ]
    data = f"blemishEntries({number},{script_json(plain)});\n".encode()
    name = f"{number:05d}.{hashlib.sha256(data).hexdigest()[:8]}.js"
    if not (folder / name).is_file():
        write_bytes(folder / name, data)
    return name


def column_json(column: Column, values: Sequence[Any]) -> dict[str, Any]:
    """A column as the script reads it: words as numbers of a list, in alphabetical order."""
    facts = {"name": column.name, "meaning": column.meaning, "shown": column.shown}
    if not column.words:
        return {**facts, "percent": column.percent, "values": [None if v is None else rounded(v) for v in values]}
    words = sorted(set(values))
    places = {word: place for place, word in enumerate(words)}
    return {**facts, "words": words, "values": [places[word] for word in values]}


def plot(column: Column, values: Sequence[Any]) -> str:
    """The histogram of a column, "" where none is wanted; entries to which the number does not apply do not count."""
    if not column.plotted:
        return ""
    scale, unit = (100.0, "%") if column.percent else (1.0, "")
    return histogram([value for value in values if value is not None], column.name, scale, unit)


def rounded(value: float) -> float:
    """Four digits, whole numbers without a point: every byte counts ten thousand times."""
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short


def page_text(gallery: Gallery, data: dict[str, Any], plots: str) -> str:
    """The whole page."""
    script = f"const data={script_json(data)};\n{asset('gallery.js')}"
    body = [
        *gallery.above,
        f'<div class="plots">{plots}</div>' if plots else "",
        '<div class="bar" id="filters"></div>',
        '<div class="bar"><label>sort by<select id="sort"></select></label>'
        '<select id="way" aria-label="direction"><option value="up">ascending</option>'
        '<option value="down">descending</option></select>'
        '<fieldset class="bar" id="panels"><legend>shown of each</legend></fieldset>'
        f'<span><b id="count"></b> {text(gallery.unit)}</span>'
        '<button id="before">previous</button><span id="page"></span><button id="after">next</button></div>',
        "<noscript><p>This page filters and loads its pictures with a script of its own, which is switched off.</p>"
        "</noscript>",
        '<div id="grid"></div>',
        *gallery.below,
        '<dialog id="one"><div class="bar"><b id="title"></b><button id="close">close</button></div>'
        '<p id="caption"></p><div class="panels" id="large"></div><pre id="facts"></pre></dialog>',
    ]
    return document(gallery.title, asset("gallery.css"), body, script)


def asset(name: str) -> str:
    """A file that lies beside this one."""
    return (files("shards.view") / name).read_text(encoding="utf-8")
