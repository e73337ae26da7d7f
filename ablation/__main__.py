"""`python -m ablation GRID --out DIR`: a grid from its plan to its page."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.arguments import add_engine
from shards.errors import ConfigError, MissingInputError, run_cli

if TYPE_CHECKING:
    from ablation.cluster import Begin
    from ablation.plan import Plan

HELP = "train and test the arms of a grid alike, and say what differs"
EXAMPLES = """examples:
  blemish ablate configs/ablation/quick.py --out out/ablation/quick
  blemish ablate configs/ablation/timesteps.py --out out/ablation/timesteps --dry-run
  blemish ablate configs/ablation/timesteps_sd15_richhf.py --out out/sd15 --dry-run --gpu h100
  blemish ablate configs/ablation/closed_world.py --out out/try --scale 0.01
  blemish ablate configs/ablation/labels.py --out out/labels --reuse out/regions
  blemish ablate configs/ablation/timesteps_sd15_richhf.py --out /shared/sd15 --engine ray --actors 8 --actor-gpus 1

The same command again resumes where a stopped one was. OUT/report.md and OUT/index.html have tables, plots and a
sentence for each comparison; OUT/rows.csv a row for each arm, backbone, seed and test set.
"""


def parser(prog: str = "python -m ablation") -> argparse.ArgumentParser:
    """The command line; `prog` is what it is called by. Its one verb may be left out after `python -m ablation`."""
    top = argparse.ArgumentParser(prog, description="Ablations: grids of arms.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("ablate", help=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    one.add_argument("grid", metavar="GRID", help="a config such as configs/ablation/quick.py")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="everything goes here, and is kept")
    one.add_argument("--dry-run", action="store_true", help="check, print plan and cost, and stop")
    one.add_argument(
        "--processes", type=int, default=0, metavar="N", help="at a time, one thread each (one a card, else one a core)"
    )
    one.add_argument("--gpu", default="", metavar="NAME", help="reckon the cost for this card, such as h100")
    one.add_argument("--scale", type=float, default=1.0, metavar="S", help="everything smaller by this factor, a trial")
    one.add_argument(
        "--reuse",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="take finished stages of these grids over",
    )
    one.add_argument(
        "--docs", type=Path, metavar="FILE", help="put sentences and tables between the marks of this page as well"
    )
    one.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="A.B=V", help="change one value of the grid"
    )
    add_engine(one)
    return top


def run(args: argparse.Namespace, command: str) -> int:
    """Plan, price, do, report: 1 where an arm failed. Raises UserErrors."""
    from ablation.cost import Pricer, check_disk, cost_lines, find_machine, remaining
    from ablation.docs import check_docs, write_docs
    from ablation.grid import load_grid
    from ablation.plan import make_plan
    from ablation.reuse import find_folders, reusable, take
    from ablation.run import STAGES, Runner, claim
    from ablation.scale import scaled
    from ablation.stages import DECODED
    from shards.run_log import RunLog

    name, out = Path(args.grid).stem.replace("_", "-"), args.out.absolute()
    if args.docs and not args.dry_run:
        check_docs(args.docs, name)
    with workers(args, out) as (processes, crew):
        grid = scaled(load_grid(args.grid, args.overrides), args.scale)
        plan = make_plan(grid, lenient=args.dry_run)
        machine = find_machine(args.gpu, processes)
        pricer = Pricer(plan, machine)
        each, stages = pricer.price(), out / STAGES
        others = find_folders(args.reuse, out)
        taken = reusable(plan, stages, others)
        missing = [*plan.missing, *pricer.not_ready]
        for line in [*cost_lines(plan, each, machine, stages, taken), *(f"NOT READY: {text}" for text in missing)]:
            print(line, flush=True)
        if args.dry_run:
            return 0
        if missing:
            raise MissingInputError(missing[0])
        check_disk(remaining(each, stages, taken).bytes, out)
        held = claim(plan.grid, out)
        with held.held():
            take(plan, stages, others)
            runner = Runner(plan, out, processes, each, crew)
            with RunLog(out, held.lock, 0, runner.facts):
                failed = runner.run()
            shutil.rmtree(out / DECODED, ignore_errors=True)
            results = report(plan, args.out, failed, command)
    if args.docs:
        write_docs(args.docs, name, results)
    return 1 if failed else 0


@contextmanager
def workers(args: argparse.Namespace, out: Path) -> Iterator[tuple[int, Begin]]:
    """How many tasks there may be at a time, and what does them. Raises UserErrors."""
    from ablation.cluster import on_cluster
    from ablation.processes import Slots
    from shards.cluster import demand_of

    demand = demand_of(args, None)
    if demand is None or args.dry_run:
        processes, cards = places(args.processes)
        yield processes, lambda work, logs: Slots(processes, work, logs, cards)
        return
    if args.processes:
        raise ConfigError("--processes is for this machine alone; with --engine ray it is --actors")
    with on_cluster(demand, out) as found:
        yield found


def report(plan: Plan, out: Path, failed: dict[str, str], command: str) -> dict[str, Any]:
    """Rows, tables, plots, strip and page of what is done; returns what they are made from."""
    from ablation.plots import write_plots
    from ablation.report import MARKDOWN, PAGE, sentences, write_report
    from ablation.rows import CSV, collect, write_rows
    from ablation.run import STAGES
    from ablation.strip import write_strip

    results = collect(plan, out / STAGES, failed, command)
    write_rows(out, results)
    figures = [*write_plots(out, results), *write_strip(out, plan, out / STAGES)]
    write_report(out, results, figures)
    for text in sentences(results):
        print(f"- {text}")
    for arm, why in results["failed"].items():
        print(f"arm {arm!r} failed: {why}")
    print(f"{out / MARKDOWN}, {out / PAGE}, {out / CSV}")
    return results


def places(asked: int) -> tuple[int, int]:
    """Processes at a time, and the cards that they are spread over. Raises ConfigError."""
    import torch

    if asked < 0:
        raise ConfigError(f"--processes is {asked}; needed: 1 or more")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or cards or cores, cards


def main(argv: Sequence[str] | None = None, prog: str = "python -m ablation") -> int:
    """Exit code: 0 done, 1 an arm failed, 2 wrong input, 130 stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = parser(prog).parse_args(words if words[:1] == ["ablate"] else ["ablate", *words])
    return run_cli(lambda: run(args, f"{prog} {shlex.join(words)}"))


if __name__ == "__main__":
    sys.exit(main())
