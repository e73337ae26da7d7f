"""Arguments that several verbs take, and verbs made of modules; loads nothing else, so that --help is quick."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Any


def add_overrides(parser: argparse.ArgumentParser, what: str = "change one value of the config") -> None:
    """Add `--set A.B=V`, which may be given several times; the texts are `overrides` (shards.config)."""
    add_values(parser, "--set", "overrides", what)


def add_values(parser: argparse.ArgumentParser, flag: str, name: str, what: str) -> None:
    """Add a flag that takes A.B=V, may be given several times, and is a list of texts called `name`."""
    parser.add_argument(flag, dest=name, action="append", default=[], metavar="A.B=V", help=what)


def add_modules(verbs: Any, verb: str, text: str, metavar: str, modules: Mapping[str, tuple[str, str]]) -> None:
    """Add a verb with one sub-verb for each module: name -> (module, one line of help).

    A module has a docstring, `add_arguments(parser)` and `run(args) -> int`.
    """
    outer = verbs.add_parser(verb, help=text)
    names = outer.add_subparsers(dest="name", required=True, metavar=metavar)
    for name, (module, line) in modules.items():
        loaded = importlib.import_module(module)
        inner = names.add_parser(
            name, help=line, description=loaded.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        loaded.add_arguments(inner)
        inner.set_defaults(run=loaded.run)
