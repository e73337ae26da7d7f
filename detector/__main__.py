"""`python -m detector VERB`: train a detector on shards, look at pictures with it, score it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from detector.rejection.names import SCORES
from detector.tracking import TRACKERS
from shards.arguments import add_engine, add_overrides
from shards.errors import run_verb

SEGMENTER = "--segmenter"
ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish detect train configs/detector/swin_mini.py --shards out/miniworld --out out/detector/swin_mini
  blemish detect predict out/detector/swin_mini/weights.safetensors pictures --out out/predicted
  blemish detect pretrain configs/detector/scenes_swin_mini.py --out out/detector/scenes
  blemish detect export out/detector/scenes/weights.safetensors --half --out detector/weights/swin_mini.safetensors
"""


class VerbParser(argparse.ArgumentParser):
    """Where a segmenter is named, there is no CHECKPOINT before the input."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if any(word == SEGMENTER or str(word).startswith(f"{SEGMENTER}=") for word in args or ()):
            for action in self._actions:
                if action.dest == "checkpoint":
                    action.nargs = argparse.SUPPRESS  # takes no word
        return super().parse_known_args(args, namespace)


def parser(prog: str = "python -m detector") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog,
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=VerbParser)
    add_train(verbs)
    add_pretrain(verbs)
    add_predict(verbs)
    add_export(verbs)
    add_score(verbs)
    add_tasks(verbs)
    return top


def add_config(verb: argparse.ArgumentParser) -> None:
    """What `train` and `pretrain` share."""
    verb.add_argument("config", metavar="CONFIG", help="such as configs/detector/swin_mini.py")
    verb.add_argument("--out", type=Path, metavar="DIR", help="folder of the training (default out/detector/CONFIG)")
    verb.add_argument("--iterations", type=int, metavar="N", help="how long to train; schedules shrink or grow with it")
    verb.add_argument("--seed", type=int, help="of weights, draws and augmentation (default the config's)")
    add_overrides(verb)
    verb.add_argument("--resume", action="store_true", help="an error unless there is a training in DIR to resume")
    verb.add_argument("--launcher", choices=("none", "pytorch"), default="none", help="pytorch: started by torchrun")
    verb.add_argument(
        "--track", choices=TRACKERS, default="", help="send the log there as well (pip install 'blemish[track]')"
    )
    verb.set_defaults(run=run_train, shards=[], val=[])


def add_train(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    train = verbs.add_parser(
        "train",
        help="train on shards; the same command again resumes a stopped run",
        epilog="""examples:
  blemish detect train configs/detector/swin_mini.py --shards out/miniworld --seed 1
  blemish detect train configs/detector/swin_mini.py --shards s3://bucket/run --val s3://bucket/validation
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(train)
    train.add_argument(
        "--shards",
        nargs="+",
        required=True,
        metavar="DIR",
        help="runs, folders of tars, tars or globs; here or in a store, s3://bucket/run (gs://, az://)",
    )
    train.add_argument(
        "--val", nargs="+", default=[], metavar="DIR", help="shards by which the best weights are chosen"
    )


def add_pretrain(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    pretrain = verbs.add_parser(
        "pretrain",
        help="train on the data set that the config itself names: scene segmentation as a start",
        epilog="example: blemish detect pretrain configs/detector/scenes_swin_mini.py --out out/detector/scenes",
    )
    add_config(pretrain)


def add_predict(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    predict = verbs.add_parser(
        "predict",
        help="heat maps, masks, overlays, and pictures sorted from best to worst",
        epilog="""examples:
  blemish detect predict out/detector/swin_mini/weights.safetensors pictures --out out/seen
  blemish detect predict out/detector/swin_mini/weights.safetensors pictures --out out/seen5 --max-fpr 0.05 \\
      --clean miniworld/sets/v1/clean-test
  blemish detect predict out/detector/swin_mini/weights.safetensors s3://bucket/run --out out/seen_run
  blemish detect predict --segmenter facebook/mask2former-swin-base-ade-semantic --score msr pictures --out out/msr
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help=".safetensors, or .pth with --config; or --segmenter ID"
    )
    predict.add_argument("input", metavar="INPUT", help="a picture, a folder, a glob, or shards, here or s3://..")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    predict.add_argument(
        "--threshold", type=float, default=0.5, help="a pixel is an artifact from here on (default 0.5)"
    )
    predict.add_argument(
        "--max-fpr", type=float, metavar="F", help="choose the threshold that at most a share F of --clean reaches"
    )
    predict.add_argument(
        "--clean", default="", metavar="WHERE", help="clean pictures, or shards (their clean samples), for --max-fpr"
    )
    add_rejection(predict)
    predict.add_argument("--batch", type=int, default=16, help="pictures looked at together (default 16)")
    predict.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    predict.add_argument("--config", metavar="CONFIG", help="config of a checkpoint that does not say what it is")
    predict.add_argument("--no-overlays", action="store_true", help="write no overlays")
    add_engine(predict)
    predict.set_defaults(run=run_predict)


def add_rejection(predict: argparse.ArgumentParser) -> None:
    """A segmenter in place of a checkpoint."""
    predict.add_argument(
        SEGMENTER,
        metavar="ID",
        help="in place of CHECKPOINT: a segmenter of valid content (a folder of transformers, a hub id, weights of "
        "ours); what it cannot explain is an artifact",
    )
    predict.add_argument("--score", choices=SCORES, default="msr", help="of a segmenter (default %(default)s)")
    predict.add_argument(
        "--valid", nargs="+", type=int, default=[], metavar="CLASS", help="classes that are valid (default all)"
    )
    predict.add_argument(
        "--boundary",
        type=int,
        default=0,
        metavar="PIXELS",
        help="of a segmenter: drop what is rejected along outlines, not as wide as 2 PIXELS + 1 (default %(default)s)",
    )
    predict.add_argument("--revision", default="main", help="of a hub id: a commit, tag or branch (default main)")


def add_export(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    export = verbs.add_parser(
        "export",
        help="weights of a checkpoint as one safetensors file that trainings start from",
        epilog="example: blemish detect export out/scenes/weights.safetensors --half --out start.safetensors",
    )
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    export.add_argument("--half", action="store_true", help="16-bit floats")
    export.add_argument("--config", metavar="CONFIG", help="config of a checkpoint that does not say what it is")
    export.set_defaults(run=run_export)


def add_score(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    from detector.score import command

    score = verbs.add_parser("score", help=command.HELP)
    command.add_arguments(score)
    score.set_defaults(run=command.run)


def add_tasks(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    from detector.score import pal_command

    tasks = verbs.add_parser("tasks", help=pal_command.HELP)
    pal_command.add_arguments(tasks)
    tasks.set_defaults(run=pal_command.run)


def run_train(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from detector.config import load_config, set_seed
    from detector.train import Job, summary, train

    config = load_config(args.config, args.overrides, args.iterations)
    if args.seed is not None:
        set_seed(config, args.seed)
    name = Path(args.config).stem
    out = args.out or Path("out/detector") / name
    job = Job(config, name, out, tuple(args.shards), tuple(args.val), args.launcher, args.track)
    print(summary(train(job, args.resume), out))
    return 0


def run_predict(args: argparse.Namespace) -> int:
    from detector.heat import Rejecting
    from detector.predict import Options, predict
    from shards.cluster import demand_of

    overlays = not args.no_overlays
    rejects = None if args.segmenter is None else Rejecting(args.score, tuple(args.valid), args.revision, args.boundary)
    options = Options(args.threshold, args.batch, args.device, overlays, args.max_fpr, args.clean, rejects)
    where = Path(args.segmenter) if rejects else args.checkpoint
    demand = demand_of(args, {"auto": None, "cpu": False}.get(args.device, True))
    if demand is not None:
        from detector.distribute import predict_on

        print(predict_on(demand, where, args.input, args.out, options, args.config).summary())
        return 0
    print(predict(where, args.input, args.out, options, args.config).summary())
    return 0


def run_export(args: argparse.Namespace) -> int:
    from detector.export import export

    print(export(args.checkpoint, args.out, args.half, args.config))
    return 0


def main(argv: list[str] | None = None, prog: str = "python -m detector") -> int:
    """Exit code: 0 done, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
