"""The tree of verbs and the examples in it."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

from blemish.command import VERBS
from blemish.command import parser as top_parser


def parser_of(verb: str) -> argparse.ArgumentParser:
    place = VERBS[verb]
    prog = f"blemish {verb}" if place.is_group else "blemish"
    found: argparse.ArgumentParser = importlib.import_module(place.module).parser(prog)
    return found


def verbs_in(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """(full name, parser, line of help) of the verbs below, the innermost alone."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        lines = {choice.dest: choice.help for choice in action._choices_actions}
        for name, below in action.choices.items():
            inner = list(verbs_in(below))
            yield from inner or [(below.prog, below, lines[name])]


def all_verbs() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    found = {}
    for verb in VERBS:
        for name, parser, line in verbs_in(parser_of(verb)):
            if VERBS[verb].is_group or name.split()[1] == verb:
                found[name] = (parser, line)
    return found


def examples_in(text: str) -> list[str]:
    """Command lines after `example:`, or on lines of their own; a backslash at the end joins the next line."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"(?:^\s*|example: )(blemish .+)$", joined, flags=re.MULTILINE)


def all_examples() -> list[str]:
    texts = [parser.epilog or "" for parser, _ in all_verbs().values()]
    texts += [top_parser().epilog or "", *(parser_of(verb).epilog or "" for verb in VERBS)]
    return sorted({one for text in texts for one in examples_in(text)})
