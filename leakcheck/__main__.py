"""`python -m leakcheck VERB`: can a detector tell a label by how its picture was made?"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shards.arguments import add_overrides
from shards.errors import run_verb

ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish leakcheck make --out out/leakcheck/shards
  blemish leakcheck check --pair out/leak/default/leakcheck out/leak/default/leakcheck_sham --out out/leakcheck/probe
"""


def parser(prog: str = "python -m leakcheck") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog, description=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_make(verbs)
    add_check(verbs)
    return top


def add_make(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    make = verbs.add_parser(
        "make",
        help="shards of the four processing variants, each with pictures to train on and null injections",
        epilog="example: blemish leakcheck make --out out/leakcheck/shards",
    )
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the runs, one a variant")
    add_overrides(make, "change a value of the line")
    make.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at a time, one thread each")
    make.set_defaults(run=run_make)


def add_check(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = verbs.add_parser(
        "check",
        help="train detectors and see whether they find masks under which nothing was injected; exit 1 if they do",
        epilog="example: blemish leakcheck check --pair out/leak/a/train out/leak/a/sham --out out/leak",
    )
    check.add_argument(
        "--pair",
        nargs=2,
        action="append",
        required=True,
        metavar=("TRAIN", "SHAM"),
        help="the runs of one variant: to train on, and null injections of other pictures; once for each variant",
    )
    check.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of trainings and of the table")
    check.add_argument("--config", default="configs/detector/swin_mini.py", metavar="CONFIG", help="of the detectors")
    add_overrides(check)
    check.add_argument("--iterations", type=int, metavar="N", help="how long each detector is trained")
    check.add_argument("--seeds", type=int, default=1, help="detectors a variant (default 1)")
    check.add_argument("--processes", type=int, default=1, metavar="N", help="trainings at a time (default 1)")
    check.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples of pictures (default 1000)")
    check.set_defaults(run=run_check)


def run_make(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from leakcheck.make import make_all

    make_all(args.out, args.overrides, args.processes)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """1 where the check fails."""
    from leakcheck.check import Options, leakcheck

    options = Options(args.config, tuple(args.overrides), args.iterations, args.seeds, args.bootstrap, args.processes)
    holds, text = leakcheck([(train, sham) for train, sham in args.pair], args.out, options)
    print(text, end="")
    return 0 if holds else 1


def main(argv: list[str] | None = None, prog: str = "python -m leakcheck") -> int:
    """Exit code: 0 done, 1 the check fails, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
