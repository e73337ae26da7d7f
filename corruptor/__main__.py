"""`python -m corruptor VERB`: make labelled shards, or one sample of them again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from shards.arguments import add_engine, add_overrides
from shards.errors import ConfigError, run_verb
from shards.store_run import place
from shards.stores import output

ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish shards configs/shards/miniworld.py --out out/miniworld
  blemish shards configs/shards/sdxl_progamer_recommended.py --out out/sdxl --dry-run --gpu a100
  blemish shards configs/shards/folder.py --out out/mine --set source.options.root=pictures
  blemish shards configs/shards/folder.py --out out/mine --set source.options.root=pictures --preview 16
  blemish shards configs/shards/folder.py --out out/mine --extend --set source.options.limit=100000
  accelerate launch --multi_gpu --num_processes 8 -m corruptor shards configs/shards/folder.py --out out/mine
  blemish shards configs/shards/folder.py --out /shared/mine --engine ray --actors 16 --actor-gpus 1
  blemish remake out/miniworld/shards/00000.tar 00000_00003 --out again
"""
GPUS = ("h100", "h200", "a100", "a6000", "a5000", "4090", "l4")
"""Rows of line.cost.GPUS, here so that --help needs no torch; the first is the default."""
DEFAULT_CONFIG = "configs/shards/miniworld.py"


def parser(prog: str = "python -m corruptor") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    top = argparse.ArgumentParser(
        prog,
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    shards = verbs.add_parser(
        "shards",
        help="make labelled shards; the same command again resumes a stopped run",
        epilog="example: blemish shards configs/shards/miniworld.py --out out/miniworld",
        add_help=False,
    )
    shards.add_argument("-h", "--help", action=HelpWithFields, help="show this help with every field of the config")
    shards.add_argument("--help-config", action=HelpWithFields, help="show the fields of the config alone")
    shards.add_argument("config", nargs="?", default=DEFAULT_CONFIG, help=f"config file (default {DEFAULT_CONFIG})")
    shards.add_argument(
        "--out",
        type=output,
        metavar="DIR",
        help="folder of the run, or s3://bucket/run, gs://.., az://.. (default out/NAME-OF-CONFIG)",
    )
    add_overrides(shards)
    shards.add_argument(
        "--dry-run",
        action="store_true",
        help="check the config and print plan, cost and disk; make nothing; exit code 2 where something is missing",
    )
    shards.add_argument(
        "--extend",
        action="store_true",
        help="take in what the source has more of than when the run was made: new files, a larger count or limit",
    )
    shards.add_argument(
        "--preview",
        type=int,
        metavar="N",
        help="make the first N samples in DIR.preview, with a page to look at, and say yield and time of the whole",
    )
    shards.add_argument("--gpu", choices=GPUS, default=GPUS[0], help="card the plan is for (default %(default)s)")
    shards.add_argument("--rank", type=int, metavar="R", help="this is process R of N (found out under a launcher)")
    shards.add_argument("--num-processes", type=int, metavar="N", help="how many processes make this run together")
    add_engine(shards)
    shards.set_defaults(run=run_shards)
    remake = verbs.add_parser(
        "remake",
        help="make one sample again from what its shard says of it, and compare",
        epilog="example: blemish remake out/miniworld/shards/00000.tar 00000_00003 --out again",
    )
    remake.add_argument("shard", metavar="SHARD", help="a tar of a run, or the run's folder; here or s3://bucket/run")
    remake.add_argument("key", metavar="KEY", help="sample key, such as 00000_00003")
    remake.add_argument("--out", type=Path, metavar="DIR", help="write the sample's files here")
    add_overrides(remake, "where things are now, such as source.options.root=DIR or model.folder=DIR")
    remake.set_defaults(run=run_remake)
    return top


class HelpWithFields(argparse.Action):
    """Help, and every field of the config; collecting these takes a moment, so only when they are asked for."""

    def __init__(self, option_strings: list[str], dest: str, help: str = "") -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        from corruptor.line.fields import fields_text

        if option != "--help-config":
            parser.print_help()
            print()
        print(fields_text())
        parser.exit()


def run_shards(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from corruptor.line.command import dry_run, make_shards
    from corruptor.line.load import load_line
    from corruptor.line.processes import ALONE, find_place
    from shards.cluster import demand_of

    config = load_line(args.config, args.overrides)
    demand = demand_of(args, {"auto": None, "cpu": False}.get(config.compute.device, True))
    place = find_place(args.rank, args.num_processes) if demand is None else ALONE
    out = args.out or Path("out") / Path(args.config).stem
    if args.dry_run:
        planned = dry_run(config, out, args.gpu)
        print(planned.summary)
        if demand is not None:
            print(f"engine ray: {demand.actors or 'as many as fit'} actors, each asks for {demand.words}")
        return 0 if planned.ready else 2
    if args.preview is not None:
        from corruptor.line.preview import preview

        if not isinstance(out, Path):
            raise ConfigError(f"--preview writes beside the run, not to {out}; name a local folder with --out")
        if args.extend:
            raise ConfigError("--preview is for runs that are not begun; leave out --extend, or --preview")
        print(preview(config, out, args.preview, place))
        return 0
    if demand is not None:
        from corruptor.line.distribute import distribute

        print(distribute(config, out, demand, args.extend))
        return 0
    print(make_shards(config, out, place, args.extend))
    return 0


def run_remake(args: argparse.Namespace) -> int:
    """Exit code 1 where the sample comes out different."""
    from corruptor.line.remake import remake

    comparison = remake(place(args.shard), args.key, args.out, args.overrides)
    print(comparison.summary())
    return 0 if comparison.same else 1


def main(argv: list[str] | None = None, prog: str = "python -m corruptor") -> int:
    """Exit code: 0 done, 1 a remade sample differs, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
