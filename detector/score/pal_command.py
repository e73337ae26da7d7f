"""`python -m detector tasks`: scored runs of PAL's import as its table, a row a method and a column a task."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from detector.score.counts import ScoreError
from detector.score.counts_io import load_counts
from detector.score.pal_table import TaskScore, join, score_tasks, task_table
from shards.guard.json_text import TABLE, read_object
from shards.human.pal import tasks_by_key

HELP = "PAL's table from scored runs: artifact IoU for each synthesis task, beside the paper's rows"
EXAMPLE = """example:
  blemish detect tasks unified=out/scores/unified specialist=out/scores/ldm,out/scores/cvton

A folder is the --out of `blemish detect score`, whose truth is an import of PAL (`blemish import pal`).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the verb's parser."""
    parser.epilog, parser.formatter_class = EXAMPLE, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "methods", nargs="+", metavar="NAME=DIR[,DIR..]", help="scored runs of one method; several for specialists"
    )
    parser.add_argument("--no-paper", action="store_true", help="leave out the paper's two rows")


def run(args: argparse.Namespace) -> int:
    """Print the table. Raises UserError subclasses on bad input."""
    rows: dict[str, dict[str, TaskScore]] = {}
    for told in args.methods:
        name, folders = method(told)
        if name in rows:
            raise ScoreError(f"method {name} is named twice; give each its own name")
        try:
            rows[name] = join(*(of_folder(folder) for folder in folders))
        except ValueError as error:
            raise ScoreError(f"{told}: {error}") from error
    print(task_table(rows, paper=not args.no_paper))
    return 0


def method(told: str) -> tuple[str, list[Path]]:
    """NAME=DIR,DIR -> name and folders. Raises ScoreError."""
    name, _, folders = told.partition("=")
    found = [Path(folder) for folder in folders.split(",") if folder]
    if not name or not found:
        raise ScoreError(f"method {told!r} is not of the form NAME=DIR[,DIR..]; such as unified=out/scores/unified")
    return name, found


def of_folder(folder: Path) -> dict[str, TaskScore]:
    """Scores of each task in one scored run; the counts of several training seeds are added up.

    Raises MissingInputError, ScoreError, SchemaError (the truth is no import of PAL).
    """
    counts, path = load_counts(folder), folder / "scores.json"
    truth = read_object(path, limits=TABLE, error=ScoreError).get("truth")
    shards = truth.get("shards") if isinstance(truth, dict) else None
    if not isinstance(shards, list) or not all(isinstance(where, str) for where in shards):
        raise ScoreError(f"{path} names no truth; score again")
    tasks = {key: task for where in shards for key, task in tasks_by_key(where).items()}
    summed = np.sum([one.hits for one in counts], axis=0)
    return score_tasks(zip(counts[0].keys, summed.tolist(), strict=True), tasks)
