"""Table 1 of Menn et al. 2025 re-run in the embedded world, where the truth is known.

    python -m experiments.closed_world --out out/closed_world
    python -m experiments.closed_world --out out/try --scale 0.01      # a trial

Five arms are trained alike: 100 labels; the selector's masks on sources that nothing was done to; the same masks on
corrupted sources; random masks on corrupted sources; and, as the upper bound, the oracle's labels on wild pictures.
Weights, thresholds and the selector's tau are chosen on the validation set, and the tests are looked at once. The same
command goes on where a stopped one was; OUT/results.json holds a row for every training that is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from experiments.closed_world.plan import (
    ARMS,
    LABELS,
    MADE,
    TESTS,
    WILD,
    Chosen,
    Job,
    Plan,
    estimate,
    estimate_words,
    scaled,
    slug,
)
from shards.build import plain
from shards.config import differences as config_differences
from shards.errors import ConfigError, MissingInputError, ResumeError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.pool import in_processes

PLAN, STAGES, TABLE = "plan.json", "stages.json", "table.md"
BEGIN, END = "<!-- closed-world: begin -->", "<!-- closed-world: end -->"


def main() -> int:
    """Command line."""
    args = arguments()
    return run_cli(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """The stages in order, each skipped where its product is there. Raises UserErrors."""
    plan = scaled(plan_of(args), args.scale)
    print(estimate_words(estimate(plan, args.processes)), flush=True)
    check_inputs(plan)
    if args.dry_run:
        return
    claim(plan, args.out)
    out, processes = args.out, args.processes
    others = tuple(arm for arm in ARMS if arm != LABELS)
    with timed(out, "trainings on 100 labels"):
        train_all(plan, out, plan.jobs((LABELS,)), processes)
    with timed(out, "wild pictures with the oracle's labels"):
        make_wild(plan, out, processes)
    with timed(out, "shards of three arms"):
        make_shards(plan, out, processes)
    with timed(out, "trainings of the other arms"):
        train_all(plan, out, plan.jobs(others), processes)
    report(plan, args)


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan at full scale. Raises ConfigError."""
    return Plan(
        sources=args.sources,
        sources_from=args.sources_from,
        oracle=args.oracle_count,
        iterations=args.iterations,
        seeds=args.seeds,
        backbones=tuple(args.backbones),
        config=args.config,
        overrides=tuple(args.overrides),
        detector_overrides=tuple(args.detector_overrides),
        sets=str(args.sets),
        fallback=args.fallback,
    )


def check_inputs(plan: Plan) -> None:
    """Raise MissingInputError for a set that is not there, before hours are spent."""
    missing = [
        name for name in ("select", "validation", *TESTS) if not Path(plan.sets, name, "manifest.json").is_file()
    ]
    if missing:
        raise MissingInputError(
            f"{plan.sets} lacks {', '.join(missing)}; make them: python -m miniworld sets --out {plan.sets}"
        )


def claim(plan: Plan, out: Path) -> None:
    """Begin OUT, or see that it was begun with this plan. Raises ResumeError, OutputError."""
    make_folder(out)
    path = out / PLAN
    if not path.is_file():
        foreign = [entry.name for entry in out.iterdir()]
        if foreign:
            raise ResumeError(f"{out} holds other files ({', '.join(sorted(foreign)[:3])}); choose an empty folder")
        write_json(path, asdict(plan))
    changed = config_differences(json.loads(path.read_bytes()), plain(plan))
    if changed:
        raise ResumeError(f"{out} was begun with another plan ({'; '.join(changed)}); choose another folder")


@contextmanager
def timed(out: Path, name: str) -> Iterator[None]:
    """Add the stage's wall seconds to OUT/stages.json; parts that were killed are not in it."""
    began = time.monotonic()
    print(f"{name} ..", flush=True)
    yield
    stages = read_stages(out)
    stages[name] = round(stages.get(name, 0.0) + time.monotonic() - began, 1)
    write_json(out / STAGES, stages)
    print(f"{name}: {stages[name] / 60:.1f} min", flush=True)


def read_stages(out: Path) -> dict[str, float]:
    path = out / STAGES
    stages: dict[str, float] = json.loads(path.read_bytes()) if path.is_file() else {}
    return stages


def train_all(plan: Plan, out: Path, jobs: Sequence[Job], processes: int) -> None:
    """Every training that is not done, one a process; results.json grows with each."""
    from experiments.closed_world.report import write_results
    from experiments.closed_world.train import ROW, job_folder

    todo = [job for job in jobs if not (job_folder(out, job) / ROW).is_file()]
    if not todo:
        return
    for row in in_processes(processes, partial(_train, plan, out), todo, "training"):
        write_results(plan, out, read_stages(out))
        iou = row["tests"]["wild-test"]["artifact_iou"]
        told = "n/a" if iou is None else f"{100 * iou:.2f}%"
        print(f"{row['arm']}, {row['backbone']}, seed {row['seed']}: wild artifact IoU {told}, {row['seconds']} s")


def _train(plan: Plan, out: Path, job: Job) -> dict[str, Any]:
    from experiments.closed_world.train import run_job

    return run_job(plan, out, job)


def make_wild(plan: Plan, out: Path, processes: int) -> None:
    """Wild training pictures, sampled as the labelled sets were."""
    from corruptor.line.config import LineConfig
    from corruptor.line.run import find_model
    from miniworld.sets import SETS, make_sets
    from miniworld.sets import Job as SetJob
    from shards.config import load_config

    told = json.loads(Path(plan.sets, "select", "manifest.json").read_bytes())["config"]
    weights = Path(find_model(load_config(plan.config, LineConfig, plan.overrides).model.folder))
    scale = plan.oracle / SETS[WILD].count
    make_sets(SetJob(out, weights, told["steps"], told["guidance"], scale), (WILD,), processes)


def make_shards(plan: Plan, out: Path, processes: int) -> None:
    """Shards of the three arms that the line makes."""
    from experiments.closed_world.train import chosen_selector

    done = [json.loads(path.read_bytes()).get("totals") for path in manifests(out) if path.is_file()]
    if len(done) == len(MADE) and all(done):
        return
    make = partial(_make, plan, out, chosen_selector(plan, out), processes)
    for _ in in_processes(processes, make, range(processes), "process"):
        pass


def _make(plan: Plan, out: Path, chosen: Chosen, processes: int, rank: int) -> None:
    from experiments.closed_world.make import make_arms

    make_arms(plan, out, chosen, rank, processes)


def manifests(out: Path) -> list[Path]:
    return [out / "shards" / slug(arm) / "manifest.json" for arm in MADE]


def report(plan: Plan, args: argparse.Namespace) -> None:
    """Means, intervals and differences; the table to OUT, the screen and the docs."""
    from experiments.closed_world.report import as_markdown, load_cells, load_contents, write_results

    stages, contents = read_stages(args.out), load_contents(plan, args.out)
    results = write_results(plan, args.out, stages, load_cells(plan, args.out, contents=contents), contents)
    text = f"{as_markdown(results)}\n{origin(plan, args, results, sum(stages.values()))}\n"
    write_bytes(args.out / TABLE, text.encode())
    if args.docs:
        write_bytes(args.docs, between(args.docs.read_text(encoding="utf-8"), text).encode())
    print(text)


def origin(plan: Plan, args: argparse.Namespace, results: dict[str, Any], seconds: float) -> str:
    """The command, the time and what must be known beside the figures."""
    words = [f"`python -m experiments.closed_world {shlex.join(sys.argv[1:])}`: {seconds / 60:.0f} minutes"]
    words.append(f"{args.processes} processes of one thread, {results['machine']['processor']}")
    words.append(time.strftime("%Y-%m-%d"))
    notes = (
        f"{plan.sources} sources ({plan.sources_from}), {plan.oracle} wild training pictures, {plan.iterations} "
        "iterations a training. In "
        "brackets 95% intervals of the mean over seeds, from 1,000 bootstrap resamples of test pictures; sd is over "
        "seeds. Each detector's threshold is the one of the largest artifact IoU on the validation set."
    )
    return textwrap.fill(f"{', '.join(words)}. {notes}", 120, break_long_words=False, break_on_hyphens=False)


def between(page: str, text: str) -> str:
    """The page with what stands between the marks replaced. Raises ConfigError where the marks are not there."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ConfigError(f"the page has no line '{BEGIN}' followed by '{END}'; add both where the table belongs")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    top = argparse.ArgumentParser(
        "python -m experiments.closed_world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Plan()
    top.add_argument("--out", type=Path, required=True, metavar="DIR")
    top.add_argument("--scale", type=float, default=1.0, help="everything smaller by this factor, for a trial")
    top.add_argument("--sources", type=int, default=default.sources, help=f"source scenes ({default.sources})")
    top.add_argument(
        "--sources-from", choices=("renders", "wild"), default=default.sources_from, help=f"({default.sources_from})"
    )
    top.add_argument("--oracle-count", type=int, default=default.oracle, help=f"wild pictures ({default.oracle})")
    top.add_argument("--iterations", type=int, default=default.iterations, help=f"a training ({default.iterations})")
    top.add_argument("--seeds", type=int, default=default.seeds, help=f"trainings of each kind ({default.seeds})")
    top.add_argument("--backbones", nargs="+", default=default.backbones, metavar="NAME", help="of configs/detector")
    top.add_argument("--config", default=default.config, help=f"of the line ({default.config})")
    top.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=V", help="of the line")
    top.add_argument(
        "--detector-set", dest="detector_overrides", action="append", default=[], metavar="A.B=V", help="of detectors"
    )
    top.add_argument("--sets", type=Path, default=Path(default.sets), metavar="DIR", help=f"({default.sets})")
    top.add_argument(
        "--fallback", choices=("none", "hottest"), default=default.fallback, help="where the selector finds nothing"
    )
    top.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at a time, one thread each")
    top.add_argument("--docs", type=Path, metavar="FILE", help="put the table between the marks of this page")
    top.add_argument("--dry-run", action="store_true", help="check, print the estimate, and stop")
    return top.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
