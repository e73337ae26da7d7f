"""Arguments that several verbs take; loads nothing, so that --help is quick."""

from __future__ import annotations

import argparse


def add_overrides(parser: argparse.ArgumentParser, what: str = "change one value of the config") -> None:
    """Add `--set A.B=V`, which may be given several times; the texts are `overrides` (shards.config)."""
    add_values(parser, "--set", "overrides", what)


def add_values(parser: argparse.ArgumentParser, flag: str, name: str, what: str) -> None:
    """Add a flag that takes A.B=V, may be given several times, and is a list of texts called `name`."""
    parser.add_argument(flag, dest=name, action="append", default=[], metavar="A.B=V", help=what)
