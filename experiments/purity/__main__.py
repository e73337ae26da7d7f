"""What the labels are worth, judged by the embedded world's oracle: the visibility threshold, and label purity.

    python -m experiments.purity --n 96 --out out/bench --picture docs/pictures/corruption_steps.webp

Scenes of the validation split are corrupted in every way under the same masks. The oracle says which masked components
hold a fault; the threshold of verification is chosen so that it tells them from the others, and purity is counted with
and without it. `--split calibration` judges a threshold on scenes that did not choose it. A run that was
stopped resumes where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corruptor.config import METHODS
from experiments.purity.count import Mask, Row, judge
from miniworld.oracle.thresholds import Thresholds
from miniworld.world.splits import SPLITS
from shards.arguments import add_overrides
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_json
from shards.pool import open_pool
from shards.progress import GOES_ON, Progress

if TYPE_CHECKING:  # torch is imported late: the oracle's processes import this file too, and need none
    from corruptor.backbone import Backbone
    from corruptor.line.config import LineConfig
    from experiments.purity.make import Pictures, Setting, Sources
    from experiments.purity.opinion import Look

STEPS = (45, 40, 35, 30, 20)
SPLIT, FIRST = "validation", 1_000  # the wild validation pictures have the captions of the first 200
BATCH = 16
OTHERS = 32


@dataclass
class Pending:
    """A batch whose pictures are with the oracle."""

    part: Path
    sources: Sources
    made: dict[str, Pictures]
    answers: Any
    """AsyncResult of the oracle's masks, setting by setting."""


class Benchmark:
    """Works through batches; the oracle judges one while the model makes the next."""

    def __init__(
        self,
        args: argparse.Namespace,
        config: LineConfig,
        backbone: Backbone,
        settings: list[Setting],
        opinions: Mapping[str, Look],
    ):
        self.args, self.config, self.backbone, self.settings = args, config, backbone, settings
        self.opinions = opinions
        scenes = [args.split, args.first, args.n, args.others]
        asked = [asdict(config), [one.name for one in settings], scenes, asdict(Thresholds()), *opinions]
        told = json.dumps([*asked, backbone.digest()], sort_keys=True)
        self.parts: Path = args.out / f"purity-{hashlib.sha256(told.encode()).hexdigest()[:12]}.parts"

    def rows(self, pool: Any) -> list[Row]:
        """The numbers of all pictures."""
        make_folder(self.parts)
        rows: list[Row] = []
        waiting: Pending | None = None
        with Progress(self.args.n, "source", resumes=GOES_ON) as bar:
            for first in range(0, self.args.n, BATCH):
                numbers = range(first, min(first + BATCH, self.args.n))
                begun = self._begin(pool, numbers)
                if isinstance(begun, list):
                    rows += begun
                    bar.update(len(numbers))
                    continue
                rows += self._finish(waiting)
                bar.update(BATCH if waiting else 0)
                waiting = begun
            rows += self._finish(waiting)
            bar.update(bar.total - bar.n)
        return rows

    def _begin(self, pool: Any, numbers: range) -> Pending | list[Row]:
        """Corrupt a batch and hand it to the oracle; or what an earlier run found of it."""
        from experiments.purity.make import load_sources, make_pictures

        part = self.parts / f"{numbers.start:05d}.json"
        if part.exists() and not (self.args.picture and numbers.start == 0):
            return [Row.from_dict(one) for one in json.loads(part.read_text())]
        sources = load_sources(self.config, SPLITS[self.args.split], self.args.first, numbers)
        if not sources.items:
            return []
        settings = [one for one in self.settings if one.noised or not one.injected or numbers.start < self.args.others]
        made = make_pictures(self.backbone, sources, settings, self.config)
        jobs = [(picture, scene) for name in made for picture, scene in zip(made[name], sources.scenes, strict=True)]
        return Pending(part, sources, made, pool.map_async(judge, jobs, chunksize=2))

    def _finish(self, pending: Pending | None) -> list[Row]:
        from experiments.purity.make import count_rows

        if pending is None:
            return []
        count, masks = len(pending.sources.items), pending.answers.get()
        faults = {name: masks[k * count : (k + 1) * count] for k, name in enumerate(pending.made)}
        rows = count_rows(
            pending.sources,
            pending.made,
            faults,
            self.backbone.factor,
            self.config.corruption.verification,
            self.opinions,
        )
        write_json(pending.part, [row.to_dict() for row in rows])
        if self.args.picture and pending.part.stem == "00000":
            self._draw(pending, faults)
        return rows

    def _draw(self, pending: Pending, faults: dict[str, list[Mask]]) -> None:
        from experiments.purity.picture import NUM_COLUMNS, save_sheet, sheet

        some = slice(0, NUM_COLUMNS)
        made = {name: pictures[some] for name, pictures in pending.made.items() if not name.startswith("clean pass")}
        pixels = sheet(made, pending.sources.masks_NHW[some], {name: faults[name][some] for name in made})
        save_sheet(self.args.picture, pixels)


def main() -> int:
    """Command line."""
    args = arguments()
    return run_cli(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Measure, then write OUT/purity.json and OUT/purity.md. Raises UserErrors."""
    from corruptor.line.config import LineConfig
    from corruptor.line.run import open_model, resolve_compute
    from experiments.purity.make import settings_of
    from experiments.purity.opinion import open_opinions
    from experiments.purity.report import write_purity
    from shards.config import load_config

    _check(args)
    config = resolve_compute(load_config(args.config, LineConfig, args.overrides))
    config = config if args.seed is None else replace(config, seed=args.seed)
    settings = settings_of(config.corruption, args.steps, args.methods)
    backbone = open_model(config.model, config.compute.device)
    opinions = open_opinions(args.opinion)
    bench = Benchmark(args, config, backbone, settings, opinions)
    with open_pool(args.processes) as pool:
        rows = bench.rows(pool)
    if not rows:
        raise ConfigError(f"the region policy found no region in any of {args.n} scenes; try a larger --n")
    noised = {one.name for one in settings if one.noised}
    write_purity(args.out, rows, noised, config, split=args.split, first=args.first, opinions=list(opinions))
    shutil.rmtree(bench.parts)


def _check(args: argparse.Namespace) -> None:
    for name, least in (("n", 1), ("others", 0), ("processes", 1), ("first", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} is {getattr(args, name)}; needs {least} or more")
    count = SPLITS[args.split].count
    if args.first + args.n > count:
        raise ConfigError(f"--first {args.first} with --n {args.n} leaves the {args.split} split of {count} scenes")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    top = argparse.ArgumentParser(
        "python -m experiments.purity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--config", default="configs/shards/miniworld_step40.py")
    add_overrides(top)
    top.add_argument("--n", type=int, default=96, help="source scenes (default 96)")
    top.add_argument(
        "--others",
        type=int,
        default=OTHERS,
        metavar="N",
        help=f"methods but `noised` see the first N sources only, in whole batches of {BATCH} (default {OTHERS})",
    )
    top.add_argument(
        "--split", choices=("validation", "calibration"), default=SPLIT, help=f"of scenes (default {SPLIT})"
    )
    top.add_argument("--first", type=int, default=FIRST, help=f"offset into the split (default {FIRST})")
    top.add_argument("--steps", type=int, nargs="+", default=STEPS, help="start steps of the method `noised`")
    top.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS), help="default: all of them")
    top.add_argument(
        "--opinion",
        nargs="+",
        default=[],
        metavar="SCORE=WHERE",
        help="second opinions: a score of a bare segmenter (SCORE:PIXELS drops outlines), or =WHERE for a trained "
        "detector",
    )
    top.add_argument("--seed", type=int, help="of masks and noise (default: the config's)")
    top.add_argument("--processes", type=int, default=_cores(), help="of the oracle (default: one a core)")
    top.add_argument("--picture", type=Path, metavar="PATH", help="also write a sheet of the first sources, as WebP")
    top.add_argument("--out", type=Path, required=True, metavar="DIR")
    return top.parse_args(argv)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
