"""Does PAR prefer what the oracle prefers? Pairs of wild pictures of the same content in the embedded world.

    python -m experiments.agreement --out out/agreement
    python -m experiments.agreement --pairs caption --captions 150 --out out/agreement_captions

By default the pictures of a labelled wild set are paired whose captions name the same kinds of things, each picture
once. With `--pairs caption` one of a pair is a labelled one, the other a second sample of its very caption. The picture
with the smaller faulty area by the oracle is preferred; equal areas are a tie and left out (`--ties` keeps them).
Detectors and other methods look at both; beside them stand chance and a score that knows nothing of faults: sharpness,
the variance of the Laplacian.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.agreement.pictures import caption_pairs, content_pairs
from shards.claims import Claim
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table

if TYPE_CHECKING:
    from applications.ranking.agreement import Agreement
    from detector.score.bootstrap import Interval

DETECTOR = "100 labels=region_select/weights/swin_mini.safetensors"
BASELINES = ("cnngenerates", "patchforensics", "pal", "segformer")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("python -m experiments.agreement", description=(__doc__ or "").partition("\n")[0])
    top.add_argument("--pairs", choices=("content", "caption"), default="content")
    top.add_argument("--captions", type=int, default=150, metavar="N", help="of --pairs caption (default 150)")
    top.add_argument("--set", default="miniworld/sets/v1/wild-test", metavar="DIR", help="labelled wild pictures")
    top.add_argument("--detector", nargs="+", default=[DETECTOR], metavar="NAME=WEIGHTS[@THRESHOLD]")
    top.add_argument("--segmenter", nargs="+", default=[], metavar="NAME=DIR[@THRESHOLD]", help="rejection, no labels")
    for kind in BASELINES:
        top.add_argument(f"--{kind}", nargs="+", default=[], metavar="NAME=WEIGHTS[@THRESHOLD]")
    top.add_argument("--ties", action="store_true", help="keep pairs whose faulty areas are equal")
    top.add_argument("--steps", type=int, default=30)
    top.add_argument("--guidance", type=float, default=2.5)
    top.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of the oracle")
    top.add_argument("--out", type=Path, default=Path("out/agreement"), metavar="DIR")
    return top


def run(args: argparse.Namespace) -> int:
    """Sample, judge, look, count."""
    from applications.ranking.agreement import Pair, agreement
    from experiments.agreement.scores import look, of_pictures, read_method, sharpness

    if args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}; needed: 1 or more")
    methods = [
        read_method(kind, text) for kind in ("detector", "segmenter", *BASELINES) for text in getattr(args, kind)
    ]
    if len({method.name for method in methods}) < len(methods):
        raise ConfigError("two methods have one name; give each its own NAME")
    asked: dict[str, object] = {"pairs": args.pairs, "set": args.set}
    if args.pairs == "caption":
        asked |= {"captions": args.captions, "steps": args.steps, "guidance": args.guidance}
    make_folder(args.out)
    with Claim(args.out, "run.json", asked, "agreement").held():
        if args.pairs == "content":
            made = content_pairs(args.set)
        else:
            made = caption_pairs(args.set, args.captions, args.steps, args.guidance, args.processes, args.out)
        told = [one for one in made.preferred() if args.ties or one[2] != "tie"]
        if not told:
            raise ConfigError("all pairs are ties; give more --captions, or --ties")
        pairs = [Pair(a, b, {a: 1.0, b: 0.0}.get(said, 0.5)) for a, b, said in told]
        found: list[Agreement] = []
        for number, method in enumerate(methods):
            for name, scores in look(method, made.where, args.out / "seen" / f"{number}_{slug(method.name)}"):
                found.append(agreement(name, pairs, scores, lower_is_better=True))
        found.append(agreement("sharpness", pairs, of_pictures(made.where, sharpness), lower_is_better=False))
        write_json(args.out / "agreement.json", {"asked": asked, "scores": [asdict(one) for one in found]})
        text = as_table(found)
        write_bytes(args.out / "agreement.md", text.encode())
        write_bytes(args.out / "agreement.png", as_figure(found))
    print(text, end="")
    return 0


def slug(name: str) -> str:
    """A name as part of a path."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def as_table(found: Sequence[Agreement]) -> str:
    """Markdown."""
    rows = [("chance", "50.0%", "", "")]
    rows += [(one.name, percent(one.found), str(one.ties), str(one.pairs)) for one in found]
    return table(("score", "agreement (95%)", "ties of the score", "pairs"), rows, numbers=True) + "\n"


def span(found: Interval) -> tuple[float, float, float]:
    """Value, low and high in percent; without an interval all of it."""
    value, low, high = found.value or 0.0, found.low, found.high
    return 100 * value, 100 * (0.0 if low is None else low), 100 * (1.0 if high is None else high)


def percent(found: Interval) -> str:
    value, low, high = span(found)
    return f"{value:.1f}% ({low:.1f} to {high:.1f})"


def as_figure(found: Sequence[Agreement]) -> bytes:
    """PNG: PAR and mean heat of each method, chance as a line."""
    from experiments.plot import rows_with_intervals

    spans = [span(one.found) for one in found]
    return rows_with_intervals([one.name for one in found], [("", spans)], "agreement over pairs, %", 50.0)


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 wrong input."""
    return run_cli(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
