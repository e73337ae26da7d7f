"""The tables of mask-based semantic rejection as Markdown and JSON.

    python -m experiments.msr configs/msr/miniworld.py --out out/msr --tables arms scores
    python -m experiments.msr configs/msr/pal.py --place pal=out/pal coco=coco --out out/msr_pal --dry-run --gpu a100

OUT/tables.md, OUT/tables.json. Trainings and counts are kept beside them; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.msr.plan import TABLES, MsrConfig, missing, placed
from shards.arguments import add_overrides
from shards.build import plain
from shards.claims import Claim
from shards.config import load_config
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table

if TYPE_CHECKING:
    from experiments.msr.table import Table

RUN = "tables.run.json"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    top = argparse.ArgumentParser(
        "python -m experiments.msr", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("config", metavar="CONFIG", help="such as configs/msr/miniworld.py")
    top.add_argument("--out", type=Path, required=True, metavar="DIR")
    top.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="default all")
    top.add_argument("--place", nargs="+", default=[], metavar="NAME=DIR", help="where {NAME} of the config lies")
    top.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    top.add_argument("--dry-run", action="store_true", help="say what would be trained and looked at, and stop")
    top.add_argument("--gpu", default="", metavar="NAME", help="with --dry-run: the time on such a card")
    add_overrides(top)
    return top.parse_args(argv)


def places_of(told: Sequence[str]) -> dict[str, str]:
    """NAME=DIR -> where each name lies. Raises ConfigError."""
    pairs = [text.partition("=") for text in told]
    wrong = [text for text, (name, _, where) in zip(told, pairs, strict=True) if not name or not where]
    if wrong:
        raise ConfigError(f"--place {wrong[0]!r} is not of the form NAME=DIR")
    return {name: where for name, _, where in pairs}


def run(args: argparse.Namespace) -> None:
    """Raises UserErrors."""
    config = load_config(args.config, MsrConfig, args.overrides)
    if "real" not in args.tables:  # nobody needs to have what is not looked at
        config = replace(config, real=())
    config = placed(config, places_of(args.place))
    if args.dry_run:
        from experiments.msr.price import summary

        print(summary(config, args.tables, args.gpu))
        return
    absent = missing(config)
    if absent:
        raise ConfigError(f"{absent[0]} does not exist ({len(absent)} sets are missing); import or make it first")
    from experiments.msr.arms import Bench
    from experiments.msr.tables import MAKERS

    make_folder(args.out)
    with Claim(args.out, RUN, {**plain(config), "real": []}, "tables").held():
        bench = Bench(config, args.out, args.device)
        write(args.out, [MAKERS[name](bench) for name in TABLES if name in args.tables], config)


def write(out: Path, tables: Sequence[Table], config: MsrConfig) -> None:
    """OUT/tables.json and OUT/tables.md, and the latter printed."""
    from corruptor.machine import machine

    command = "python -m experiments.msr " + shlex.join(sys.argv[1:])
    told: dict[str, Any] = {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    write_json(out / "tables.json", {**told, "config": plain(config), "tables": [asdict(one) for one in tables]})
    parts = [f"## {one.title}\n\n{table(list(one.head), one.rows)}" for one in tables]
    seeds = len(config.seeds)
    parts.append(
        f"`{command}`, {told['machine']['processor']}, {told['date']}. Percent; threshold {config.threshold:g} where "
        f"none is told; {seeds} training seeds; 95% intervals over pictures."
    )
    text = "\n\n".join(parts) + "\n"
    write_bytes(out / "tables.md", text.encode())
    print(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 wrong input."""
    args = arguments(argv)
    return run_cli(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
