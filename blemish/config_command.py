"""`blemish config VERB`: what a config may hold, and what one holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from shards.arguments import add_overrides
from shards.errors import run_cli

EXAMPLES = """examples:
  blemish config fields corruption.injection
  blemish config show configs/shards/miniworld.py --set seed=3
"""


def parser(prog: str = "blemish config") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog,
        description="What a config of `blemish shards` may hold, and what one holds.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    fields = verbs.add_parser(
        "fields",
        help="every field with its default and its meaning",
        epilog="example: blemish config fields corruption.injection",
    )
    fields.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only fields that begin like this")
    fields.set_defaults(run=run_fields)
    show = verbs.add_parser(
        "show",
        help="a config with everything that it inherits, checked, as JSON",
        epilog="example: blemish config show configs/shards/miniworld.py --set seed=3",
    )
    show.add_argument("config", metavar="CONFIG", help="config file of a run")
    add_overrides(show)
    show.set_defaults(run=run_show)
    return top


def run_fields(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from corruptor.line.fields import fields_text

    print(fields_text(args.prefix))
    return 0


def run_show(args: argparse.Namespace) -> int:
    import json

    from corruptor.line.load import load_line
    from shards.build import plain

    print(json.dumps(plain(load_line(args.config, args.overrides)), indent=2, ensure_ascii=False))
    return 0


def main(argv: Sequence[str] | None = None, prog: str = "blemish config") -> int:
    """Exit code: 0 done, 2 wrong input."""
    args = parser(prog).parse_args(argv)
    return run_cli(lambda: args.run(args))
