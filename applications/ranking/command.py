"""The verbs of `blemish rank`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from shards.errors import ConfigError

HELP = "pictures by their share of artifact: percentiles, best of several, agreement with people"
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_group(verbs: Verbs) -> None:
    """Add `rank` and its verbs."""
    group = verbs.add_parser("rank", help=HELP, description=HELP)
    below = group.add_subparsers(dest="rank_verb", required=True, metavar="VERB")
    add_percentiles(below)
    add_best(below)
    add_agree(below)
    add_score(below)


def add_seen(verbs: Verbs, name: str, text: str, example: str) -> argparse.ArgumentParser:
    """A verb that reads a folder of predictions."""
    verb = verbs.add_parser(name, help=text, description=text, epilog=f"example: blemish rank {example}")
    verb.add_argument("seen", type=Path, metavar="SEEN", help="folder that `blemish detect predict` wrote")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    return verb


def add_percentiles(verbs: Verbs) -> None:
    verb = add_seen(
        verbs, "percentiles", "a sheet of pictures at percentiles of PAR", "percentiles out/seen --out out/rank"
    )
    verb.add_argument("--each", type=int, default=4, metavar="N", help="pictures a percentile (default 4)")
    verb.set_defaults(run=run_percentiles)


def add_best(verbs: Verbs) -> None:
    verb = add_seen(verbs, "best", "the best picture of each prompt that has several", "best out/seen --out out/best")
    verb.add_argument("--prompts", type=Path, metavar="CSV", help="key, prompt (default: captions)")
    verb.set_defaults(run=run_best)


def add_agree(verbs: Verbs) -> None:
    verb = add_seen(
        verbs,
        "agree",
        "how often PAR prefers the picture that people prefer",
        "agree out/seen --pairs pairs.csv --higher musiq=musiq.csv --out out/agreement",
    )
    verb.add_argument("--pairs", type=Path, required=True, metavar="CSV", help="a, b, preferred: a name, or tie")
    for flag, text in (("--higher", "more is better"), ("--lower", "less is better")):
        verb.add_argument(
            flag, action="append", default=[], metavar="NAME=CSV", help=f"another score (key, score), {text}"
        )
    verb.set_defaults(run=run_agree)


def add_score(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "score",
        help="score pictures by another measure, through pyiqa",
        epilog="example: blemish rank score pictures --metric hyperiqa --out hyperiqa.csv",
    )
    verb.add_argument("input", metavar="PICTURES", help="a picture, a folder, a glob, or shards")
    verb.add_argument("--metric", required=True, metavar="NAME", help="of pyiqa, such as hyperiqa or musiq")
    verb.add_argument("--out", type=Path, required=True, metavar="CSV", help="file to write")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    verb.set_defaults(run=run_score)


def run_percentiles(args: argparse.Namespace) -> int:
    from applications.ranking.write import percentiles

    print(percentiles(args.seen, args.out, args.each))
    return 0


def run_best(args: argparse.Namespace) -> int:
    from applications.ranking.write import best

    print(best(args.seen, args.out, args.prompts))
    return 0


def run_agree(args: argparse.Namespace) -> int:
    from applications.ranking.write import agree

    print(agree(args.seen, args.pairs, args.out, named(args.higher, "--higher"), named(args.lower, "--lower")))
    return 0


def run_score(args: argparse.Namespace) -> int:
    from applications.ranking.iqa import score

    print(score(args.input, args.metric, args.out, args.device))
    return 0


def named(texts: list[str], flag: str) -> list[tuple[str, Path]]:
    """NAME=CSV -> (NAME, CSV). Raises ConfigError."""
    found = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"{flag} is {text!r}; needed is NAME=CSV, such as musiq=musiq.csv")
        found.append((name, Path(path)))
    return found
