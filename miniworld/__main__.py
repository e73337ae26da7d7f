"""The embedded world from the command line: `python -m miniworld VERB --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

WORK = Path("out/miniworld")
EXAMPLES = """examples:
  blemish world render --n 16 --out out/scenes
  blemish world sample --n 16 --out out/samples
  blemish world train --minutes 60
  blemish world sets --out miniworld/sets/v1
  blemish world sheets --out docs/pictures
  blemish world figures
"""


def parser(prog: str = "python -m miniworld") -> argparse.ArgumentParser:
    """The command line; `prog` is what it is called by. Paths of weights and sets are those of the package unless named."""
    here = Path(__file__).parent
    top = argparse.ArgumentParser(
        prog=prog,
        description="A small procedural world with its own trained diffusion pipeline.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, example: str, *, weights: bool = False) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  blemish world {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if weights:
            added.add_argument("--weights", type=Path, default=here / "weights", help="folder of the generator")
        return added

    train = verb("train", "train the generator, or train it further", "train --minutes 60 --device auto")
    train.add_argument("--minutes", type=float, required=True, help="wall clock of this call; the next one goes on")
    train.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    train.add_argument("--work", type=Path, default=WORK, help=f"folder of the training state (default {WORK})")
    train.add_argument("--out", type=Path, default=here / "weights", help="folder the generator is written to")
    train.add_argument("--stage", default="auto", help="auto, vae, decoder or unet (default auto)")

    sample = verb("sample", "sample pictures from the generator", "sample --n 16 --out out/samples", weights=True)
    _pictures(sample)
    sample.add_argument("--steps", type=int, help="denoising steps (default: the usual number)")
    sample.add_argument("--guidance", type=float, help="classifier-free guidance (default: the usual scale)")

    _pictures(verb("render", "render scenes, without any model", "render --n 16 --out out/scenes"))

    sets = verb("sets", "make the labelled sets", "sets --out miniworld/sets/v1", weights=True)
    sets.add_argument("--out", type=Path, default=here / "sets" / "v1", help="folder of the sets' version")
    sets.add_argument("--only", nargs="+", metavar="SET", help="some of the sets")
    sets.add_argument("--steps", type=int, help="denoising steps of the wild sets")
    sets.add_argument("--guidance", type=float, help="guidance of the wild sets")
    sets.add_argument("--processes", type=int, default=2, help="worker processes (default 2)")
    sets.add_argument("--scale", type=float, default=1.0, help="share of each set's size; below 1 for a trial")

    sheets = verb("sheets", "make the contact sheets of the docs", "sheets --out docs/pictures", weights=True)
    sheets.add_argument("--out", type=Path, default=Path("docs/pictures"), help="folder of the sheets")
    sheets.add_argument("--sets", type=Path, default=here / "sets" / "v1", help="folder of the labelled sets")
    sheets.add_argument("--only", nargs="+", metavar="SHEET", help="some of the sheets")

    # `main` hands this verb's options on unread; the line here is for the list of verbs.
    verb("figures", "measure oracle and generator: the figures of docs/miniworld.md", "figures")
    return top


def _pictures(added: argparse.ArgumentParser) -> None:
    added.add_argument("--n", type=int, default=16, help="how many pictures (default 16)")
    added.add_argument("--out", type=Path, required=True, help="folder for pictures, captions and a contact sheet")
    added.add_argument("--seed", type=int, help="first scene seed (default: the first for show)")


def run(args: argparse.Namespace) -> None:
    """Carry out a parsed command. Raises ValueError or FileNotFoundError for what the user can mend."""
    if args.verb == "train":
        from miniworld.train import train

        if not args.minutes > 0:
            raise ValueError(f"--minutes is {args.minutes:g}: give a number above 0")
        train(args.minutes, args.work, args.out, device=args.device, stage=args.stage)
    elif args.verb in ("render", "sample"):
        pictures(args)
    elif args.verb == "sets":
        labelled_sets(args)
    else:
        from miniworld.sheets import SHEETS, make_sheets

        for path in make_sheets(args.out, args.weights, args.sets, args.only or SHEETS):
            print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def pictures(args: argparse.Namespace) -> None:
    """The verbs `render` and `sample`: NUMBER.png, captions.txt, scenes.jsonl and sheet.png."""
    from tqdm import tqdm

    from miniworld import sheets
    from miniworld.draw import render
    from miniworld.scenes import caption, sample_scene
    from miniworld.splits import SPLITS
    from shards.files import make_folder, write_bytes

    if args.n < 1:
        raise ValueError(f"--n is {args.n}: give a whole number of at least 1")
    first = SPLITS["show"].start if args.seed is None else args.seed
    scenes = [sample_scene(first + i) for i in range(args.n)]
    words = [caption(s) for s in scenes]
    bar = tqdm(total=args.n, unit="picture", disable=not sys.stderr.isatty())
    images = []
    if args.verb == "render":
        for scene in scenes:
            images.append(render(scene))
            bar.update()
    else:
        from miniworld.sample import GUIDANCE, STEPS, load_pipeline, sample_images

        steps = STEPS if args.steps is None else args.steps
        if not 1 <= steps <= 1000:
            raise ValueError(f"--steps is {steps}: give a whole number from 1 to 1000")
        pipe, scale = load_pipeline(args.weights), GUIDANCE if args.guidance is None else args.guidance
        for at in range(0, args.n, 8):
            seeds = [s.seed for s in scenes[at : at + 8]]
            images += list(sample_images(pipe, words[at : at + 8], seeds, steps=steps, guidance=scale))
            bar.update(len(seeds))
    bar.close()
    make_folder(args.out)
    for i, image in enumerate(images):
        sheets.save(args.out / f"{i:04d}.png", image)
    write_bytes(args.out / "captions.txt", "".join(f"{w}\n" for w in words).encode())
    write_bytes(args.out / "scenes.jsonl", "".join(json.dumps(s.to_dict()) + "\n" for s in scenes).encode())
    sheets.save(args.out / "sheet.png", sheets.scene_sheet(images[:64], scenes[:64]))
    print(f"{args.n} pictures, captions.txt, scenes.jsonl and sheet.png in {args.out}")


def labelled_sets(args: argparse.Namespace) -> None:
    """The verb `sets`."""
    from miniworld.sample import GUIDANCE, STEPS
    from miniworld.sets import SHIPPED, Job, make_sets, sizes

    if args.processes < 1:
        raise ValueError(f"--processes is {args.processes}: give a whole number of at least 1")
    if not 0 < args.scale <= 1:
        raise ValueError(f"--scale is {args.scale}: give a share above 0 and up to 1")
    steps, guidance = args.steps or STEPS, GUIDANCE if args.guidance is None else args.guidance
    job = Job(args.out, args.weights, steps, guidance, args.scale)
    for name, totals in make_sets(job, args.only or SHIPPED, args.processes).items():
        print(f"{name}: {totals['samples']} pictures, {totals['artifact']} with faults, {totals['clean']} without")
    there, packed = sizes(args.out)
    print(f"{args.out}: {there / 1e6:.1f} MB, {packed / 1e6:.1f} MB as git and wheels pack it")


def main(argv: Sequence[str] | None = None, prog: str = "python -m miniworld") -> int:
    """Parse and run; what the user can mend is one line on stderr and exit code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = None if words[:1] == ["figures"] else parser(prog).parse_args(words)
    try:
        if args is None:
            from miniworld import figures

            figures.main(words[1:])
        else:
            run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
