"""A look at what a run will make before it is begun: its first samples, byte for byte, in a folder beside it.

    OUT.preview/preview.json    what was previewed; the mark by which the folder is known as a preview
    OUT.preview/shards/         the first samples of the run, under its keys, and what was rejected before the last
    OUT.preview/view/           the page to look at them

Nothing is left in OUT. Batches are made up as in the run (they follow from the order of the source alone), so that the
run makes these samples again, bit by bit; the next preview replaces this one.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from corruptor.line.batch import Refused
from corruptor.line.config import LineConfig
from corruptor.line.loader import Loader
from corruptor.line.processes import Place
from corruptor.line.run import Line, open_line
from corruptor.line.sink import Sink, write_row
from shards.build import plain
from shards.errors import ConfigError, ResumeError
from shards.files import make_folder, write_json
from shards.progress import Progress, clock
from shards.schema import Sample, parse_key
from shards.view.run import VIEW, view_run
from shards.writer import FOLDER, MANIFEST

MARK, WORK = "preview.json", "work"
MOST = 1000
Row = tuple[tuple[int, int], Sample | Refused]
"""(shard, row) and what became of it."""


@dataclass(frozen=True)
class Preview:
    """The first rows of a run, up to the last sample that was asked for."""

    rows: list[Row]
    made: int
    """Rows that were worked on: a batch is made whole."""
    seconds: float

    @property
    def samples(self) -> int:
        return sum(isinstance(one, Sample) for _, one in self.rows)

    def rejects(self) -> Counter[str]:
        """By reason."""
        refused = [one.reject for _, one in self.rows if isinstance(one, Refused)]
        return Counter(reject.reason for reject in refused if reject is not None)


def preview(config: LineConfig, out: Path, count: int, place: Place) -> str:
    """Make the first `count` samples of a run and the page to look at them; returns words.

    Raises ConfigError for a count that is not 1 to MOST, ResumeError where OUT holds a run already or the preview's
    folder something else, and what `open_line` raises.
    """
    if not 1 <= count <= MOST:
        raise ConfigError(f"--preview must be 1 to {MOST} samples, got {count}; more is a run")
    if (out / MANIFEST).exists():
        raise ResumeError(f"{out} holds a run already; look at it with: blemish view {out}")
    folder = clear_folder(out.with_name(f"{out.name}.preview"))
    try:
        return make_preview(config, folder, count, place)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def make_preview(config: LineConfig, folder: Path, count: int, place: Place) -> str:
    """The preview in its own, empty folder."""
    line = open_line(config, folder / WORK, place=place)
    with Progress(count, "sample", "preview") as shown:
        found = first_rows(line, count, shown)
    write_json(folder / MARK, {"samples": found.samples, "config": plain(line.writer.info.config)})
    if found.samples:
        write_samples(line, found)
        remark = f"A preview: the first {found.samples} samples of a run of {line.plan.num_items} pictures."
        view_run(folder / WORK, folder / VIEW, cache=False, remark=remark)
    shutil.move(folder / WORK / FOLDER, folder / FOLDER)
    shutil.rmtree(folder / WORK)
    return summary(line, found, folder)


def clear_folder(folder: Path) -> Path:
    """The preview's folder, with an earlier preview removed. Raises ResumeError where it holds anything else."""
    if folder.exists() and not (folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))):
        raise ResumeError(f"{folder} holds something else; move it, or name another --out")
    make_folder(folder)
    write_json(folder / MARK, {})
    for name in (WORK, FOLDER, VIEW):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def first_rows(line: Line, count: int, shown: Progress) -> Preview:
    """Batches of the run from its beginning, until the first `count` samples are there or the source ends."""
    loader = Loader(line.source, line.policy, line.config, line.plan, line.backbone.size_multiple)
    settled: dict[tuple[int, int], Sample | Refused] = {}
    rows: list[Row] = []
    places = all_places(line)
    next_place = next(places, None)
    made, samples, began = 0, 0, time.monotonic()
    with closing(loader.batches(range(line.plan.num_shards))) as batches:
        for batch in batches:
            done = line.worker.work(batch)
            made += len(batch.rows) + len(batch.refused)
            settled.update({parse_key(sample.key): sample for sample in done.samples})
            settled.update({line.plan.place(one.index, one.variant): one for one in done.refused})
            while samples < count and next_place in settled:
                rows.append((next_place, settled.pop(next_place)))
                if isinstance(rows[-1][1], Sample):
                    samples += 1
                    shown.update()
                next_place = next(places, None)
            if samples == count:
                break
    return Preview(rows, made, time.monotonic() - began)


def all_places(line: Line) -> Iterator[tuple[int, int]]:
    """(shard, row) of every row of the run, in order."""
    return ((shard, row) for shard in range(line.plan.num_shards) for row in range(line.plan.num_rows(shard)))


def write_samples(line: Line, found: Preview) -> None:
    """As the run writes them. Raises OutputError."""
    sink = Sink(line.writer, line.plan, 1, lambda rows, outcome: None)
    for shard, rows in groupby(found.rows, key=lambda row: row[0][0]):
        with line.writer.shard(shard) as writer:
            for _, one in rows:
                write_row(writer, one if isinstance(one, Refused) else sink.encode(one))


def summary(line: Line, found: Preview, folder: Path) -> str:
    """The yield, the rejects by reason, and what the whole would take."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(found.rejects().items())) or "none"
    share = found.samples / len(found.rows) if found.rows else 0.0
    total = line.plan.num_items * line.plan.num_variants
    whole = total * found.seconds / found.made if found.made else 0.0
    look = f"look at {folder / VIEW / 'index.html'}" if found.samples else "no sample to look at"
    return "\n".join(
        [
            f"{found.samples} samples of the first {len(found.rows)} rows: yield {share:.0%}; rejected: {reasons}",
            f"the whole run: {total} rows, about {round(share * total)} samples, about {clock(whole)} in one process "
            f"at the rate of these {found.made} rows",
            look,
            "the same command without --preview makes the run, and these samples in it byte for byte",
        ]
    )
