"""What a run tells people: the bar while it works, the words at its end, a sheet to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corruptor.line.plan import Plan
from corruptor.line.processes import Place
from shards.errors import MissingInputError
from shards.progress import GOES_ON, Progress, clock
from shards.reader import ShardReader
from shards.show import choose, write_sheet
from shards.source import Source
from shards.sources.gather import write_rejects
from shards.writer import MANIFEST, RunWriter, read_manifest

if TYPE_CHECKING:
    from corruptor.line.record import Recorder

KEPT = f"complete shards are kept, and {GOES_ON}"
SHEET, SHEET_SAMPLES, LEFT_OUT = "sheet.png", 32, "left_out.jsonl"


@dataclass
class Meter:
    """Counts the rows of a run: those this process makes, and for the bar those that all have made."""

    plan: Plan
    writer: RunWriter
    rows: int = 0
    """Rows of the shards that were given to this process."""

    def progress(self, place: Place) -> Progress:
        """Rate and time left; shown by the first of several processes."""
        total = sum(map(self.plan.num_rows, range(self.plan.num_shards)))
        return Progress(total, "image", initial=self._settled(), quiet=place.rank > 0, resumes=KEPT)

    def watch(self, claims: Iterator[int], shown: Progress) -> Iterator[int]:
        """Hand on claims; the progress learns of what other processes have done since the last."""
        for shard in claims:
            self.rows += self.plan.num_rows(shard)
            shown.update(max(0, self._settled() - shown.n))
            yield shard

    def _settled(self) -> int:
        """Rows of the shards that are done."""
        missing = set(self.writer.todo())
        return sum(self.plan.num_rows(shard) for shard in range(self.plan.num_shards) if shard not in missing)


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


def summary(out: Path, totals: Mapping[str, Any], rows: int, seconds: float, sheet: Path | None) -> str:
    """The closing words: what was made, what was not and why, how fast, where to look."""
    rejects: Mapping[str, int] = totals["rejects"]
    lines = [f"{totals['samples']} samples: {totals['artifact']} with artifacts, {totals['clean']} clean"]
    if rejects:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
        lines.append(f"{sum(rejects.values())} rejected: {reasons} (see {out / 'rejects.jsonl'})")
    lines.append(speed(rows, seconds) if rows else "nothing left to do: the run was complete")
    lines.append(f"{totals['shards']} shards, {totals['bytes'] / 1e6:.1f} MB in {out}")
    lines.append(f"look at {sheet}" if sheet else "no samples to look at: every input was rejected")
    return "\n".join(lines)


def speed(rows: int, seconds: float) -> str:
    """ "640 images in 3 min 05 s, 3.46 images/s"."""
    return f"{rows} images in {clock(seconds)}, {rows / max(seconds, 1e-9):.2f} images/s"
