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


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the choice of an engine and what it is asked for; `shards.cluster.demand_of` reads it."""
    group = parser.add_argument_group("engine", "many machines that come and go (docs/how-to/ray.md)")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="who works (default %(default)s)")
    group.add_argument("--actors", type=int, default=0, metavar="N", help="how many at most (default: all that fit)")
    group.add_argument("--actor-cpus", type=float, default=1.0, metavar="C", help="processors of each (default 1)")
    group.add_argument(
        "--actor-gpus",
        type=float,
        metavar="G",
        help="cards of each (default 1 where the config may use one; 0.5: two on a card)",
    )
    group.add_argument(
        "--address", default="", help="of the Ray cluster (default RAY_ADDRESS, else one is started here)"
    )
    group.add_argument(
        "--wait", type=float, default=30.0, metavar="S", help="give up after S seconds without an actor (default 30)"
    )


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
