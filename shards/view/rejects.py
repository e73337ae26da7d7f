"""The inputs of a run that became no sample, as a table to filter by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
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


@dataclass
class Rejects:
    """How many there are by reason, and the first of each: (uri, variant, detail)."""

    counts: Counter[str] = field(default_factory=Counter)
    first: defaultdict[str, list[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(list))


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
        cells = [str(record.get(name, ""))[:SHOWN] for name in ("uri", "variant", "detail")]
        found.first[reason].append((cells[0], cells[1], cells[2]))


def rejects_html(found: Rejects) -> list[str]:
    """A heading, a menu of reasons and the table; nothing where there are no rejects."""
    if not found.counts:
        return []
    total = sum(found.counts.values())
    reasons = found.counts.most_common()
    menu = "".join(f'<option value="{text(reason)}">{text(reason)} ({count})</option>' for reason, count in reasons)
    rows = "".join(
        f'<tr data-reason="{text(reason)}"><td>{text(reason)}</td>'
        + "".join(f"<td>{text(one)}</td>" for one in row)
        + "</tr>"
        for reason, _ in reasons
        for row in found.first[reason]
    )
    note = f"The first {LISTED} of each reason; all are in {REJECTS} or in the shards' own files."
    return [
        f"<h2>Rejected inputs: {total}</h2>",
        f'<div class="bar"><label>reason<select id="reason"><option value="">all</option>{menu}</select></label></div>',
        f"<p>{text(note)}</p>" if max(found.counts.values()) > LISTED else "",
        '<div class="wide"><table><thead><tr><th>reason</th><th>input</th><th>variant</th><th>detail</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    ]
