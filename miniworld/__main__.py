"""`python -m miniworld VERB`: a small procedural world with its own trained diffusion pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from shards.errors import ConfigError, run_verb

HERE = Path(__file__).parent
WEIGHTS, SETS = HERE / "weights", HERE / "sets" / "v1"
WORK, TRAINED = Path("out/miniworld"), Path("out/miniworld_weights")
EXAMPLES = """examples:
  blemish world render --n 16 --out out/scenes
  blemish world sample --n 16 --out out/samples
  blemish world train --minutes 60
  blemish world sets --out miniworld/sets/v1
  blemish world balance --pool out/pools/wild-pool --out miniworld/sets/v1/wild-balanced
  blemish world sheets --out docs/pictures
  blemish world figures --faults 60 --clean 600 --out out/figures.json
"""
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser(prog: str = "python -m miniworld") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by. Weights and sets are the package's unless named."""
    top = argparse.ArgumentParser(
        prog,
        description=__doc__.partition(": ")[2],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (add_render, add_sample, add_train, add_sets, add_balance, add_sheets, add_figures):
        add(verbs)
    return top


def add_verb(
    verbs: Verbs, name: str, text: str, example: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """A verb with its line in the list of verbs and an example."""
    verb = verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: blemish world {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


def add_weights(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of the generator")


def add_pictures(verb: argparse.ArgumentParser) -> None:
    """What `render` and `sample` share."""
    verb.add_argument("--n", type=int, default=16, help="how many pictures (default %(default)s)")
    verb.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for pictures, captions and a contact sheet"
    )
    verb.add_argument("--seed", type=int, help="first scene seed (default: the first for show)")


def add_render(verbs: Verbs) -> None:
    text = "render scenes, without any model"
    add_pictures(add_verb(verbs, "render", text, "render --n 16 --out out/scenes", run_render))


def add_sample(verbs: Verbs) -> None:
    text = "sample pictures from the generator"
    verb = add_verb(verbs, "sample", text, "sample --n 16 --out out/samples", run_sample)
    add_weights(verb)
    add_pictures(verb)
    verb.add_argument("--steps", type=int, help="denoising steps (default: the usual number)")
    verb.add_argument("--guidance", type=float, help="classifier-free guidance (default: the usual scale)")


def add_train(verbs: Verbs) -> None:
    text = "train the generator, or train it further"
    verb = add_verb(verbs, "train", text, "train --minutes 60 --device auto", run_train)
    verb.add_argument("--minutes", type=float, required=True, help="wall clock of this call; the next one resumes")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default %(default)s)")
    verb.add_argument(
        "--work", type=Path, default=WORK, metavar="DIR", help="folder of the training state (default %(default)s)"
    )
    verb.add_argument(
        "--out",
        type=Path,
        default=TRAINED,
        metavar="DIR",
        help="folder the generator is written to (default %(default)s)",
    )
    verb.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="generator that a new training begins with, such as miniworld/weights (default: --out's, else none)",
    )
    verb.add_argument("--stage", default="auto", help="auto, vae, decoder or unet (default %(default)s)")
    verb.add_argument(
        "--flow",
        action="store_true",
        help="instead, train the flow-matching sibling from the generator's weights; needs --work and --out of its own",
    )


def add_sets(verbs: Verbs) -> None:
    verb = add_verb(verbs, "sets", "make the labelled sets", "sets --out miniworld/sets/v1", run_sets)
    add_weights(verb)
    verb.add_argument("--out", type=Path, default=SETS, metavar="DIR", help="folder of the sets' version")
    verb.add_argument("--only", nargs="+", metavar="SET", help="some of the sets")
    verb.add_argument("--steps", type=int, help="denoising steps of the wild sets")
    verb.add_argument("--guidance", type=float, help="guidance of the wild sets")
    verb.add_argument("--processes", type=int, default=2, help="worker processes (default %(default)s)")
    verb.add_argument("--scale", type=float, default=1.0, help="share of each set's size; below 1 for a trial")


def add_balance(verbs: Verbs) -> None:
    text = "draw a set from a wild one in which half of each content is broken"
    example = "balance --pool out/pools/wild-pool --out miniworld/sets/v1/wild-balanced"
    verb = add_verb(verbs, "balance", text, example, run_balance)
    verb.add_argument("--pool", type=Path, required=True, metavar="DIR", help="the finished wild set to draw from")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new set")
    verb.add_argument("--count", type=int, default=1000, help="how many pictures (default %(default)s)")


def add_sheets(verbs: Verbs) -> None:
    text = "make the contact sheets of the docs"
    verb = add_verb(verbs, "sheets", text, "sheets --out docs/pictures", run_sheets)
    add_weights(verb)
    verb.add_argument("--out", type=Path, default=Path("docs/pictures"), metavar="DIR", help="folder of the sheets")
    verb.add_argument("--sets", type=Path, default=SETS, metavar="DIR", help="folder of the labelled sets")
    verb.add_argument("--only", nargs="+", metavar="SHEET", help="some of the sheets")


def add_figures(verbs: Verbs) -> None:
    text = "measure oracle and generator: the figures of docs/evidence/miniworld.md"
    example = "figures --faults 60 --clean 600 --out out/figures.json"
    verb = add_verb(verbs, "figures", text, example, run_figures)
    add_weights(verb)
    verb.add_argument(
        "--faults", type=int, default=60, help="pictures of each kind of drawn fault (default %(default)s)"
    )
    verb.add_argument("--clean", type=int, default=600, help="clean scenes (default %(default)s)")
    verb.add_argument("--samples", type=int, default=200, help="guided samples (default %(default)s)")
    verb.add_argument(
        "--thresholds", action="store_true", help="instead, what other thresholds of the oracle would mark"
    )
    verb.add_argument("--first", type=int, default=0, help="offset into the calibration split (default %(default)s)")
    verb.add_argument("--processes", type=int, default=2, help="worker processes (default %(default)s)")
    verb.add_argument("--out", type=Path, metavar="FILE", help="file for the figures as JSON")


def run_render(args: argparse.Namespace) -> None:
    from miniworld.evaluate.pictures import choose_scenes, render_pictures, sheet_of

    render_pictures(choose_scenes(args.n, args.seed), args.out)
    print(f"{args.n} pictures with captions, and scenes.jsonl, in {args.out}; look at {sheet_of(args.out)}")


def run_sample(args: argparse.Namespace) -> None:
    from miniworld.evaluate.pictures import choose_scenes, sample_pictures, sheet_of

    sample_pictures(choose_scenes(args.n, args.seed), args.out, args.weights, args.steps, args.guidance)
    print(f"{args.n} pictures with captions, and scenes.jsonl, in {args.out}; look at {sheet_of(args.out)}")


def run_train(args: argparse.Namespace) -> None:
    from miniworld.generator.train import train, train_flow

    if not args.minutes > 0:
        raise ConfigError(f"--minutes is {args.minutes:g}: give a number above 0")
    if args.flow:
        if args.start is not None:
            raise ConfigError("--start goes without --flow, which always begins with the weights of the package")
        if args.out == TRAINED:
            raise ConfigError(f"--out is {args.out}, where the generator itself goes: with --flow name another folder")
        train_flow(args.minutes, args.work, args.out, device=args.device)
    else:
        train(args.minutes, args.work, args.out, device=args.device, stage=args.stage, start=args.start)


def run_sets(args: argparse.Namespace) -> None:
    from miniworld.generator.sample import GUIDANCE, check_steps
    from miniworld.sets import SHIPPED, Job, make_sets, sizes

    if args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}: give a whole number of at least 1")
    if not 0 < args.scale <= 1:
        raise ConfigError(f"--scale is {args.scale}: give a share above 0 and up to 1")
    steps, guidance = check_steps(args.steps), GUIDANCE if args.guidance is None else args.guidance
    job = Job(args.out, args.weights, steps, guidance, args.scale)
    for name, totals in make_sets(job, args.only or SHIPPED, args.processes).items():
        print(f"{name}: {totals['samples']} pictures, {totals['artifact']} with faults, {totals['clean']} without")
    there, packed = sizes(args.out)
    print(f"{args.out}: {there / 1e6:.1f} MB, {packed / 1e6:.1f} MB as git and wheels pack it")


def run_balance(args: argparse.Namespace) -> None:
    from miniworld.balance import draw

    totals = draw(args.pool, args.out, args.count)
    print(f"{args.out}: {totals['artifact']} pictures with faults, {totals['clean']} without")


def run_sheets(args: argparse.Namespace) -> None:
    from miniworld.evaluate.sheets import SHEETS, make_sheets

    for path in make_sheets(args.out, args.weights, args.sets, args.only or SHEETS):
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def run_figures(args: argparse.Namespace) -> None:
    from miniworld.evaluate.measure import Plan, measure

    plan = Plan(args.faults, args.clean, args.samples, args.first, args.thresholds, args.processes)
    print(measure(plan, args.weights, args.out))


def main(argv: Sequence[str] | None = None, prog: str = "python -m miniworld") -> int:
    """Exit code: 0 done, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
