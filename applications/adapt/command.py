"""The verb `adapt`."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "train a detector further on a few pictures of a new generator; exit 1 if it forgets the old ones"
EXAMPLE = """examples:
  blemish adapt region_select/weights/swin_mini.safetensors --shots out/unseen/wild-train --new out/unseen/wild-test \\
      --old miniworld/sets/v1/wild-test --out out/adapted
"""


def add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    verb = verbs.add_parser(
        "adapt", help=HELP, description=HELP, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_argument("weights", type=Path, metavar="WEIGHTS", help=".safetensors of a trained detector, or its folder")
    verb.add_argument("--shots", required=True, metavar="DIR", help="labelled pictures to learn from, ten in the paper")
    verb.add_argument("--new", required=True, metavar="DIR", help="labelled pictures of the new generator to score on")
    verb.add_argument("--old", required=True, metavar="DIR", help="labelled pictures on which nothing may be lost")
    verb.add_argument(
        "--rehearse", default="", metavar="DIR", help="others of the old ones, learned from as often as the shots"
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    verb.add_argument("--config", default="configs/detector/swin_mini.py", metavar="CONFIG", help="of the training")
    verb.add_argument("--iterations", type=int, default=2000, metavar="N", help="default 2000")
    verb.add_argument("--rate", type=float, default=0.1, metavar="F", help="learning rate / the config's (default 0.1)")
    verb.add_argument("--threshold", type=float, default=0.5, metavar="P", help="artifact from here on (default 0.5)")
    verb.add_argument("--most-loss", type=float, default=0.05, metavar="F", help="of the old IoU (default 0.05)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--device", default="auto", help="of the scoring: auto, cpu or cuda (default auto)")
    verb.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples of pictures (default 1000)")
    verb.set_defaults(run=run_adapt)


def run_adapt(args: argparse.Namespace) -> int:
    """1 where more is forgotten than may be."""
    from applications.adapt.adapt import Asked, adapt

    asked = Asked(
        weights=args.weights,
        shots=args.shots,
        new=args.new,
        old=args.old,
        rehearse=args.rehearse,
        config=args.config,
        iterations=args.iterations,
        rate=args.rate,
        threshold=args.threshold,
        most_loss=args.most_loss,
        seed=args.seed,
        device=args.device,
        resamples=args.bootstrap,
    )
    holds, text = adapt(asked, args.out)
    print(text, end="")
    return 0 if holds else 1
