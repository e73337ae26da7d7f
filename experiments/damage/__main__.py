"""Ways to damage compared in the embedded world: yield, purity, passes a sample.

    python -m experiments.damage --n 150 --out out/damage --arm once \
        --arm "ladder corruption.ladder={'floor':0,'tries':4}"

Each arm is a name and overrides of the config, apart by spaces; within an override there is none. All arms see the same
scenes and, where their regions are the same, the same masks; the oracle says which labels hold a fault. What is
done is kept in OUT: the same command again does the rest. OUT/NAME.webp shows samples of each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corruptor.machine import machine
from miniworld.world.splits import SPLITS
from shards.arguments import add_overrides
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.pool import open_pool
from shards.progress import GOES_ON, Progress

if TYPE_CHECKING:
    from corruptor.line.config import LineConfig
    from experiments.damage.arms import Made, Row

FIRST = 2_000
"""Offset into the split, behind the scenes that chose the threshold."""
SHOWN = 2
"""Batches on an arm's sheet, the first of them."""


def main() -> int:
    """Command line."""
    args = arguments()
    return run_cli(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Measure all arms, then write OUT/damage.json and OUT/damage.md. Raises UserErrors."""
    from experiments.damage.report import figures, markdown
    from experiments.purity.report import finite

    if args.n < 1 or args.first < 0 or args.first + args.n > SPLITS[args.split].count or args.processes < 1:
        raise ConfigError(
            f"--n {args.n} with --first {args.first} and --processes {args.processes}: needed are one or more scenes "
            f"within the {args.split} split of {SPLITS[args.split].count}, and one or more processes"
        )
    arms = [read_arm(text) for text in args.arm or ["once"]]
    make_folder(args.out)
    told: dict[str, Any] = {}
    with open_pool(args.processes) as pool:
        for name, overrides in arms:
            rows = arm(name, [*args.overrides, *overrides], args, pool)
            told[name] = figures(rows, args.n)
            for what, fewer in read_stricter(args.stricter, name, rows):
                told[what] = {**figures(fewer, args.n), "precision": {}, "recall": {}}
    facts = {
        "command": "python -m experiments.damage " + shlex.join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "arms": told,
    }
    write_json(args.out / "damage.json", finite(facts))
    text = f"{markdown(told)}\n\n`{facts['command']}`, {args.n} scenes, {facts['date']}.\n"
    write_bytes(args.out / "damage.md", text.encode())
    print(text)


def read_arm(text: str) -> tuple[str, list[str]]:
    """ "NAME a.b=v c.d=w" -> the name and the overrides. Raises ConfigError."""
    name, *overrides = text.split() or [""]
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"--arm {text!r} must begin with a name of letters, digits, - and _")
    return name, overrides


def read_stricter(told: Sequence[str], name: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Each "LEAST:LOW:HIGH" as a name and an arm's rows under it. Raises ConfigError, also for arms with tries."""
    from experiments.damage.report import narrowed

    for text in told:
        try:
            least, low, high = map(float, text.split(":"))
        except ValueError:
            raise ConfigError(f"--stricter {text!r} is not LEAST:LOW:HIGH, such as 20:0.08:2") from None
        if any(row.num_tries > 1 for row in rows):
            raise ConfigError(f"--stricter: arm {name} tries again what does not pass; make an arm of {text!r} instead")
        yield f"{name}, change {least:g}, distance {low:g} to {high:g}", narrowed(rows, least, low, high)


def arm(name: str, overrides: Sequence[str], args: argparse.Namespace, pool: Any) -> list[Row]:
    """The rows of an arm, from OUT where it has been measured before."""
    from corruptor.line.config import LineConfig
    from corruptor.line.run import resolve_compute
    from experiments.damage.arms import Row, work
    from experiments.damage.sheet import write_arm_sheet
    from shards.config import load_config

    config = resolve_compute(load_config(args.config, LineConfig, overrides))
    path = args.out / f"{name}-{digest(config, args)}.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"scenes": 0, "rows": []}
    rows = [Row.from_dict(one) for one in before["rows"]]
    shown: list[Made] = []
    if before["scenes"] == args.n:
        return rows
    with Progress(args.n, "scene", name, initial=before["scenes"], resumes=GOES_ON) as bar:
        for made in work(config, SPLITS[args.split], args.first, range(before["scenes"], args.n), pool):
            rows += made.rows
            shown += [made] if len(shown) < SHOWN else []
            if len(shown) == SHOWN:
                write_arm_sheet(args.out / f"{name}.webp", shown)
            bar.update(made.scenes)
            write_json(path, {"scenes": bar.n, "rows": [row.to_dict() for row in rows]})
    return rows


def digest(config: LineConfig, args: argparse.Namespace) -> str:
    """What an arm's rows follow from."""
    told = json.dumps([asdict(config), args.split, args.first, args.n], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    top = argparse.ArgumentParser(
        "python -m experiments.damage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--config", default="configs/shards/miniworld_once.py")
    add_overrides(top)
    top.add_argument("--arm", action="append", metavar="'NAME a.b=v ..'", help="may be given several times")
    top.add_argument(
        "--stricter",
        action="append",
        default=[],
        metavar="LEAST:LOW:HIGH",
        help="also count as if the threshold and the band were these, of arms without a ladder",
    )
    top.add_argument("--n", type=int, default=96, help="scenes (default 96)")
    top.add_argument("--split", choices=("validation", "calibration"), default="validation")
    top.add_argument("--first", type=int, default=FIRST, help=f"offset into the split (default {FIRST})")
    top.add_argument("--processes", type=int, default=1, help="of the oracle (default 1)")
    top.add_argument("--out", type=Path, required=True, metavar="DIR")
    return top.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
