"""What every benchmark writes: its figures as JSON and as a Markdown table, with command, machine and date."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.facts import quartiles
from corruptor.machine import machine
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table

Table = Sequence[Mapping[str, Any]]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and number of repeated measurements."""
    return {**quartiles(values), "n": len(values)}


def write_report(out: Path, name: str, title: str, columns: Mapping[str, str], rows: Table, **more: Any) -> None:
    """Write OUT/NAME.json and OUT/NAME.md and print the table.

    columns: key of a row -> heading, in order; `more` goes into the JSON beside the rows.
    """
    command = "python -m benchmarks." + shlex.join([Path(sys.argv[0]).stem, *sys.argv[1:]])
    facts: dict[str, Any] = {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    make_folder(out)
    write_json(out / f"{name}.json", {**facts, "title": title, "rows": list(rows), **more})
    shown = table(list(columns.values()), [[as_text(row[key]) for key in columns] for row in rows])
    where = f"{facts['machine']['processor']}, {facts['machine']['torch_threads']} threads"
    text = f"## {title}\n\n{shown}\n\n`{command}`, {where}, {facts['date']}\n"
    write_bytes(out / f"{name}.md", text.encode())
    print(text)


def as_text(value: Any) -> str:
    """A cell: numbers to four digits, spreads as median (quartiles)."""
    if isinstance(value, Mapping):
        return f"{value['median']:.4g} ({value['q25']:.4g} to {value['q75']:.4g})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
