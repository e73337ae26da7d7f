"""What a run tells people: the bar while it works, the words at its end, a sheet to look at."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from shards.errors import MissingInputError
from shards.reader import ShardReader
from shards.show import choose, write_sheet

SHEET, SHEET_SAMPLES = "sheet.png", 32


@contextmanager
def progress_bar(total: int, done: int) -> Iterator[tqdm[Any]]:
    """A bar with rate and time left; silent where standard error is no terminal."""
    silent = not sys.stderr.isatty()
    with tqdm(total=total, initial=done, unit="image", smoothing=0.1, dynamic_ncols=True, disable=silent) as bar:
        yield bar


def write_run_sheet(out: Path) -> Path | None:
    """The contact sheet of a finished run; None where every input was rejected. Raises OutputError."""
    try:
        reader = ShardReader(out, cache=False)
    except MissingInputError:
        return None
    samples = [reader[index] for index in choose(len(reader), SHEET_SAMPLES)]
    write_sheet(out / SHEET, samples)
    reader.close()
    return out / SHEET


def summary(out: Path, totals: Mapping[str, Any], rows: int, seconds: float, sheet: Path | None) -> str:
    """The closing words: what was made, what was not and why, how fast, where to look."""
    rejects: Mapping[str, int] = totals["rejects"]
    lines = [f"{totals['samples']} samples: {totals['artifact']} with artifacts, {totals['clean']} clean"]
    if rejects:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
        lines.append(f"{sum(rejects.values())} rejected: {reasons} (see {out / 'rejects.jsonl'})")
    if rows:
        lines.append(f"{rows} images in {clock(seconds)}, {rows / max(seconds, 1e-9):.2f} images/s")
    else:
        lines.append("nothing left to do: the run was complete")
    lines.append(f"{totals['shards']} shards, {totals['bytes'] / 1e6:.1f} MB in {out}")
    lines.append(f"look at {sheet}" if sheet else "no samples to look at: every input was rejected")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """ "1 h 02 min", "3 min 05 s", "7.4 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
