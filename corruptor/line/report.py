"""What a run tells people at its end: words, a sheet and a page to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.errors import MissingInputError, OutputError
from shards.progress import clock
from shards.reader import ShardReader
from shards.show import choose, write_sheet
from shards.source import Source
from shards.sources.gather import write_rejects
from shards.view.gallery import PAGE
from shards.view.run import VIEW, view_run
from shards.writer import MANIFEST, read_manifest

if TYPE_CHECKING:
    from corruptor.line.record import Recorder
    from corruptor.line.run import Line

SHEET, SHEET_SAMPLES, LEFT_OUT = "sheet.png", 32, "left_out.jsonl"
VIEW_SAMPLES = 512
"""Samples on the page of a run's end: a second or a few, whatever the run's size."""


def close_run(line: Line, rows: int, seconds: float) -> str:
    """The end of a run of which every shard is done, by one process alone; returns the closing words.

    rows: that were made by this command, in so many seconds. Raises OutputError, ResumeError.
    """
    out = line.writer.out
    line.writer.before_end()
    sheet = write_run_sheet(out)
    write_left_out(out, line.source)
    totals = line.writer.finalise()
    look = [str(sheet), write_run_view(out, anew=rows > 0)] if sheet else []
    words = summary(out, totals, rows, seconds, look)
    line.writer.after_end()
    recorder = line.worker.recorder
    notes = [selection_note(line.source), enlarged_note(recorder), cut_note(recorder)]
    return "\n".join(filter(None, [*notes, words.replace(str(out), str(line.writer.place))]))


def is_complete(out: Path) -> bool:
    """Whether the end of the run was written."""
    return "totals" in read_manifest(out / MANIFEST)


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


def write_run_view(out: Path, anew: bool) -> str:
    """The page of a finished run, unless it has one and `anew` is False: its path, or why there is none.

    It shows some of the samples; `blemish view` makes one of more. The run is complete without it.
    """
    page = out / VIEW / PAGE
    try:
        if anew or not page.is_file():
            view_run(out, out / VIEW, VIEW_SAMPLES, cache=False)
    except OutputError as error:
        return f"{error} (no page was made)"
    return str(page)


def write_left_out(out: Path, source: Source) -> None:
    """The pictures that the source's selection examined and left out, one line each, where it has one."""
    if source.selection():
        write_rejects(out / LEFT_OUT, source.left_out())


def selection_note(source: Source) -> str:
    """One line: how many pictures there were, how many are used, and why the others are not; "" without selection."""
    chosen = source.selection()
    if not chosen:
        return ""
    reasons = [f"{reason} {count}" for reason, count in chosen["left_out"].items()]
    left = ", ".join([*reasons, f"not drawn {chosen['not_drawn']}"])
    return f"{chosen['chosen']} of {chosen['listed']} pictures chosen; left out: {left}"


def enlarged_note(recorder: Recorder) -> str:
    """One line: how many of the samples that this process made are of pictures smaller than they are used; "" for 0."""
    if not recorder.num_enlarged:
        return ""
    height, width = recorder.smallest
    return (
        f"{recorder.num_enlarged} samples are of pictures that were enlarged, the smallest {width} x {height} "
        f"(source.options.select.min_side leaves such pictures out)"
    )


def cut_note(recorder: Recorder) -> str:
    """One line: how many of the samples that this process made have a prompt that the model takes in part; "" for 0."""
    if not recorder.num_cut:
        return ""
    return (
        f"{recorder.num_cut} samples have a prompt that is longer than the model's text encoders take, and whose end "
        f"was cut (extra.prompt_cut in their JSON)"
    )


def summary(out: Path, totals: Mapping[str, Any], rows: int, seconds: float, look: Sequence[str]) -> str:
    """The closing words: what was made, what was not and why, how fast, where to look."""
    rejects: Mapping[str, int] = totals["rejects"]
    lines = [f"{totals['samples']} samples: {totals['artifact']} with artifacts, {totals['clean']} clean"]
    if rejects:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
        lines.append(f"{sum(rejects.values())} rejected: {reasons} (see {out / 'rejects.jsonl'})")
    lines.append(speed(rows, seconds) if rows else "nothing left to do: the run was complete")
    lines.append(f"{totals['shards']} shards, {totals['bytes'] / 1e6:.1f} MB in {out}")
    lines.append(f"look at {' and '.join(look)}" if look else "no samples to look at: every input was rejected")
    return "\n".join(lines)


def speed(rows: int, seconds: float) -> str:
    """ "640 images in 3 min 05 s, 3.46 images/s"."""
    return f"{rows} images in {clock(seconds)}, {rows / max(seconds, 1e-9):.2f} images/s"
