"""Shards of the leak check (docs/explanation/leak_check.md): four makings, each with pictures to train on and shams.

    blemish leakcheck make --out out/leakcheck/shards

OUT/MAKING/leakcheck and OUT/MAKING/leakcheck_sham hold what `blemish shards` makes of the configs of these
names with `corruption.paste_back` and `corruption.raw_negatives` on and off, but for rounding. The makings differ after
the decoder only, and all before is computed once. The same command resumes where a stopped one was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from corruptor.line.config import LineConfig
from corruptor.line.report import is_complete
from leakcheck.statistics import folder_name
from shards.config import load_config
from shards.pool import in_processes
from shards.writer import MANIFEST

PARTS = ("leakcheck", "leakcheck_sham")
"""Names of configs, and of folders below a making's."""


def make_all(out: Path, overrides: Sequence[str] = (), processes: int = 1) -> None:
    """Every part's four runs, `processes` at a time. Raises UserErrors."""
    for part in PARTS:
        runs = runs_of(part, out, overrides)
        if all((folder / MANIFEST).is_file() and is_complete(folder) for _, folder in runs):
            continue
        print(f"{part}: {', '.join(folder.parent.name for _, folder in runs)}", flush=True)
        for _ in in_processes(processes, partial(make, runs, processes), range(processes), "process"):
            pass


def runs_of(part: str, out: Path, overrides: Sequence[str]) -> list[tuple[LineConfig, Path]]:
    """Config and folder of each making. Raises ConfigError."""
    found = []
    for paste_back, raw_negatives in product((False, True), repeat=2):
        switches = (f"corruption.paste_back={paste_back}", f"corruption.raw_negatives={raw_negatives}")
        own = (*overrides, *switches, "compute.num_threads=1")
        name = folder_name((paste_back, raw_negatives))
        found.append((load_config(f"configs/shards/{part}.py", LineConfig, own), out / name / part))
    return found


def make(runs: Sequence[tuple[LineConfig, Path]], processes: int, rank: int) -> None:
    """One process's share."""
    from corruptor.line.shared import make_runs

    make_runs(runs, rank, processes)
