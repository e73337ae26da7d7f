"""`python -m region_select VERB`: train a selector on a few labelled pictures, use it, see what it selects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from shards.arguments import add_overrides, add_values
from shards.errors import run_verb

ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish regions train configs/region_select/swin_mini.py --labels miniworld/sets/v1/select \\
      --val miniworld/sets/v1/validation --out out/region_select/swin_mini
  blemish regions report configs/shards/miniworld.py --truth miniworld/sets/v1/validation \\
      --out out/report
  blemish regions masks out/region_select/swin_mini pictures --out out/regions
  blemish regions pseudo out/region_select/swin_mini out/wild --out out/pseudo
  blemish regions draw out/richhf/train --count 100 --out out/richhf/select --rest out/richhf/rest
"""


def parser(prog: str = "python -m region_select") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog,
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_train(verbs)
    add_draw(verbs)
    add_masks(verbs)
    add_report(verbs)
    return top


def add_train(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = verbs.add_parser(
        "train",
        help="train on labelled shards; the same command again resumes a stopped run",
        epilog="example: blemish regions train configs/region_select/swin_mini.py --labels "
        "miniworld/sets/v1/select --val miniworld/sets/v1/validation --out out/region_select/swin_mini",
    )
    train.add_argument("config", metavar="CONFIG", help="such as configs/region_select/swin_mini.py")
    train.add_argument("--labels", nargs="+", required=True, metavar="DIR", help="labelled shards, all of them used")
    train.add_argument(
        "--val", nargs="+", default=[], metavar="DIR", help="labelled shards that choose iteration and tau"
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default out/region_select/CONFIG)")
    train.add_argument("--iterations", type=int, metavar="N", help="how long to train; schedules follow")
    train.add_argument("--seed", type=int, help="of weights, draws and augmentation (default the config's)")
    train.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="best on --val (default), or the last",
    )
    add_overrides(train)
    train.add_argument("--resume", action="store_true", help="an error unless there is a training in DIR to resume")
    train.add_argument("--launcher", choices=("none", "pytorch"), default="none", help="pytorch: started by torchrun")
    train.set_defaults(run=run_train)


def add_draw(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    draw = verbs.add_parser(
        "draw",
        help="a random draw of labelled samples as a run of its own",
        epilog="example: blemish regions draw out/richhf/train --count 100 --out out/richhf/select",
    )
    draw.add_argument("shards", nargs="+", metavar="DIR", help="labelled shards")
    draw.add_argument("--count", type=int, default=100, metavar="N", help="how many (default 100)")
    draw.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    draw.add_argument("--out", type=Path, required=True, metavar="DIR", help="the drawn samples")
    draw.add_argument("--rest", type=Path, metavar="DIR", help="the others")
    draw.set_defaults(run=run_draw)


def add_masks(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs `masks` and `pseudo`, which differ in what they write."""
    told = {
        "masks": "regions as mask files, which the policy `files` takes",
        "pseudo": "shards with the regions as labels, which a detector can be trained on",
    }
    for name, words in told.items():
        verb = verbs.add_parser(
            name,
            help=words,
            epilog=f"example: blemish regions {name} out/region_select/swin_mini pictures --out DIR",
        )
        verb.add_argument("weights", metavar="WEIGHTS", help="folder of a training, or a .safetensors file")
        verb.add_argument(
            "input", metavar="INPUT", help="pictures in a folder, our shards, or a source such as miniworld"
        )
        verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
        verb.add_argument("--tau", default="0.5", help="a number, match_area or best_iou (default 0.5)")
        add_overrides(verb, "another option of the policy `learned`, such as limits.dilation=1")
        add_values(verb, "--source", "options", "an option of the source, such as count=100")
        if name == "pseudo":
            verb.add_argument("--drop-empty", action="store_true", help="leave out pictures without a region")
        verb.set_defaults(run=run_masks)


def add_report(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = verbs.add_parser(
        "report",
        help="do the regions of a config lie where pictures really break?",
        epilog="example: blemish regions report configs/shards/miniworld.py --truth "
        "miniworld/sets/v1/validation --out out/report --set region.options.tau=0.1",
    )
    report.add_argument("config", metavar="CONFIG", help="of `make shards`; its source and region policy are looked at")
    report.add_argument("--truth", nargs="+", required=True, metavar="DIR", help="labelled shards")
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    report.add_argument("--sources", type=int, default=500, metavar="N", help="so many source pictures (default 500)")
    add_overrides(report)
    report.set_defaults(run=run_report)


def run_train(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from region_select.train import summary, train_selector

    out = args.out or Path("out/region_select") / Path(args.config).stem
    record = train_selector(
        args.config,
        args.labels,
        out,
        args.val,
        overrides=args.overrides,
        iterations=args.iterations,
        seed=args.seed,
        checkpoint=args.checkpoint,
        resume=args.resume,
        launcher=args.launcher,
    )
    if record:
        print(summary(record, out))
    return 0


def run_draw(args: argparse.Namespace) -> int:
    from region_select.draw import draw

    print(draw(args.shards, args.count, args.out, args.seed, args.rest))
    return 0


def run_masks(args: argparse.Namespace) -> int:
    from region_select.label import open_pictures, pseudo_label, write_masks
    from region_select.policy import open_policy
    from shards.config import apply_overrides

    options: dict[str, Any] = apply_overrides({}, [f"tau={args.tau}", *args.overrides])
    options["weights"] = args.weights
    source, policy = open_pictures(args.input, args.options), open_policy("learned", options)
    asked = {"policy": "learned", "options": options}
    if args.verb == "masks":
        print(write_masks(source, policy, args.out, asked))
    else:
        print(pseudo_label(source, policy, args.out, asked, keep_empty=not args.drop_empty))
    return 0


def run_report(args: argparse.Namespace) -> int:
    from region_select.report import report

    print(report(args.config, args.truth, args.out, overrides=args.overrides, num_sources=args.sources))
    return 0


def main(argv: list[str] | None = None, prog: str = "python -m region_select") -> int:
    """Exit code: 0 done, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
