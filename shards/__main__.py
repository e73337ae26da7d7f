"""`python -m shards VERB`: check a run, look at it, import an outside set, export to another tool, publish it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from shards.arguments import add_modules, add_values
from shards.check import check_run
from shards.errors import ConfigError, one_line, run_verb
from shards.export.exporters import EXPORTERS
from shards.files import make_folder
from shards.human.importers import IMPORTERS
from shards.progress import progress
from shards.publish.command import add_publish
from shards.reader import ShardReader
from shards.show import Chosen, choose, write_sheet
from shards.status import add_status
from shards.view.command import add_view

ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish check out/miniworld
  blemish show out/miniworld --out sheet.png --n 16
  blemish show s3://bucket/run --out sheet.png --keys 00003_00007
  blemish view out/miniworld
  blemish export parquet out/miniworld --out out/parquet
  blemish index 'data-{000000..000068}.tar'
"""
WHERE = "run folder, folder of tars, or one tar; here or s3://bucket/run (gs://, az://)"
MAX_PROBLEMS = 20


def parser(prog: str = "python -m shards") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog,
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    check = verbs.add_parser(
        "check", help="is every sample whole and valid? exit 0 yes, 1 no", epilog="blemish check out/miniworld"
    )
    check.add_argument("where", metavar="DIR", help=WHERE)
    check.set_defaults(run=run_check)
    show = verbs.add_parser(
        "show", help="contact sheet as PNG", epilog="blemish show out/miniworld --out sheet.png --n 16"
    )
    show.add_argument("where", metavar="DIR", help=WHERE)
    show.add_argument("--out", required=True, type=Path, help="PNG file to write")
    show.add_argument("--n", type=int, default=16, help="number of samples, spread evenly (default 16)")
    show.add_argument("--keys", nargs="+", default=[], metavar="KEY", help="these samples instead")
    show.add_argument("--columns", type=int, default=2, help="samples a row (default 2)")
    show.add_argument("--side", type=int, default=160, help="longer side of a panel in pixels (default 160)")
    show.set_defaults(run=run_show)
    add_view(verbs)
    add_status(verbs)
    index = verbs.add_parser(
        "index",
        help="learn what lies where in tars, here or behind an address, so that runs start at once",
        epilog="blemish index 'data-{000000..000068}.tar'",
    )
    index.add_argument("tars", nargs="+", metavar="TARS", help="path, glob, brace range or address")
    index.add_argument("--index", default="", metavar="DIR", help="folder for index files (docs/how-to/sources.md)")
    index.set_defaults(run=run_index)
    gather = verbs.add_parser(
        "gather",
        help="the pictures that a source gives, as plain files",
        epilog="blemish gather webdataset --set 'tars=data-{000000..000068}.tar' --set select.count=30000 "
        "--out pictures",
    )
    gather.add_argument("source", metavar="SOURCE", help="folder, webdataset or shards")
    add_values(gather, "--set", "options", "an option of it")
    gather.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    gather.set_defaults(run=run_gather)
    add_modules(verbs, "import", "turn an outside set into shards", "NAME", IMPORTERS)
    add_modules(verbs, "export", "write shards in the layout of another tool", "FORMAT", EXPORTERS)
    add_publish(verbs)
    return top


def run_check(args: argparse.Namespace) -> int:
    """Print the problems, then one line of summary."""
    report = check_run(args.where, show_samples)
    for problem in report.problems[:MAX_PROBLEMS]:
        print(one_line(problem))
    if len(report.problems) > MAX_PROBLEMS:
        print(f"... and {len(report.problems) - MAX_PROBLEMS} more")
    print(report.summary())
    return 0 if report.ok else 1


def run_show(args: argparse.Namespace) -> int:
    """Write the sheet and say where."""
    for name in ("n", "columns", "side"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more, got {getattr(args, name)}")
    reader = ShardReader(args.where)
    indices = [reader.find(key) for key in args.keys] or choose(len(reader), args.n)
    make_folder(args.out.parent)
    write_sheet(args.out, Chosen(reader, indices), args.columns, args.side)
    print(f"{len(indices)} of {len(reader)} samples in {args.out}")
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Make what is missing; the same command again resumes where it stopped."""
    from shards.sources.remote_files import find_files
    from shards.sources.tars import open_indexes

    files = find_files(args.tars)
    indexes = open_indexes(files, args.index)
    damaged = [(file, index) for file, index in zip(files, indexes, strict=True) if index.problem]
    for file, index in damaged:
        print(one_line(f"{file.name}: {index.problem}"))
    samples, size = sum(map(len, indexes)), sum(max(file.size, 0) for file in files)
    print(f"{samples} samples in {len(files)} tars of {size / 1e9:.1f} GB, {len(damaged)} tars damaged")
    return 0


def run_gather(args: argparse.Namespace) -> int:
    """Copy what is missing and say how much."""
    from shards.config import apply_overrides
    from shards.source import open_source
    from shards.sources.gather import gather

    source = open_source(args.source, **apply_overrides({}, args.options))
    print(gather(source, args.out))
    return 0


def show_samples(items: Iterable[int]) -> Iterable[int]:
    return progress(items, "sample", leave=False)


def main(argv: list[str] | None = None, prog: str = "python -m shards") -> int:
    """Exit code: 0 done, 1 problems found by check, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
