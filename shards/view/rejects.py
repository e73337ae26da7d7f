"""The inputs of a run that became no sample, as a table to filter by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shards.document import text
from shards.errors import SchemaError
from shards.guard.json_text import parse_object
from shards.guard.plain_file import open_plain
from shards.writer import FOLDER, REJECTS

LISTED = 100
"""Rejects of each reason that are listed; all are counted."""
LONGEST_LINE = 1 << 20
SHOWN = 300
"""Characters of a name or a detail."""
UNREADABLE = "(not readable)"


@dataclass(frozen=True)
class Rejected:
    """One rejected input, as text that is cut to SHOWN."""

    uri: str
    variant: str
    detail: str
    index: int = -1
    """Its place in the source; -1 where that is not known."""


@dataclass
class Rejects:
    """How many there are by reason, and the first of each."""

    counts: Counter[str] = field(default_factory=Counter)
    first: defaultdict[str, list[Rejected]] = field(default_factory=lambda: defaultdict(list))


def read_rejects(run: Path) -> Rejects:
    """Those of the shards that are done; of a run without them, those of its rejects.jsonl. A damaged line is one."""
    found = Rejects()
    paths = sorted((run / FOLDER).glob(f"*.{REJECTS}")) or [run / REJECTS]
    for path in paths:
        try:
            with open_plain(path) as file:
                while line := file.readline(LONGEST_LINE):
                    add_line(found, line)
        except OSError:  # there is none, or its shard is being made again
            continue
    return found


def add_line(found: Rejects, line: bytes) -> None:
    try:
        record = parse_object(line, REJECTS)
    except SchemaError:
        found.counts[UNREADABLE] += 1
        return
    reason = str(record.get("reason", ""))[:SHOWN]
    found.counts[reason] += 1
    if len(found.first[reason]) < LISTED:
        index = record.get("index")
        uri, variant, detail = (str(record.get(name, ""))[:SHOWN] for name in ("uri", "variant", "detail"))
        found.first[reason].append(Rejected(uri, variant, detail, index if type(index) is int else -1))


def rejects_html(found: Rejects, pictures: Mapping[Rejected, str] | None = None) -> list[str]:
    """A heading, a menu of reasons and the table; nothing where there are no rejects.

    pictures: reject -> its picture as a data URL; None for a table without pictures.
    """
    if not found.counts:
        return []
    total = sum(found.counts.values())
    reasons = found.counts.most_common()
    menu = "".join(f'<option value="{text(reason)}">{text(reason)} ({count})</option>' for reason, count in reasons)
    rows = "".join(
        f'<tr data-reason="{text(reason)}"><td>{text(reason)}</td>'
        + (f"<td>{picture_html(pictures.get(row, ''))}</td>" if pictures is not None else "")
        + "".join(f"<td>{text(one)}</td>" for one in (row.uri, row.variant, row.detail))
        + "</tr>"
        for reason, _ in reasons
        for row in found.first[reason]
    )
    note = f"The first {LISTED} of each reason; all are in {REJECTS} or in the shards' own files."
    return [
        f"<h2>Rejected inputs: {total}</h2>",
        f'<div class="bar"><label>reason<select id="reason"><option value="">all</option>{menu}</select></label></div>',
        f"<p>{text(note)}</p>" if max(found.counts.values()) > LISTED else "",
        '<div class="wide"><table><thead><tr><th>reason</th>'
        f"{'<th>picture</th>' if pictures is not None else ''}"
        "<th>input</th><th>variant</th><th>detail</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>",
    ]


def picture_html(url: str) -> str:
    """A picture, or that there is none."""
    return f'<img src="{text(url)}" alt="">' if url else "(none)"
