"""What rejection costs beside the network itself: a bare forward pass against looks with one score and with all.

    python -m benchmarks.rejection --config configs/detector/msr_mini.py --batch 16 --rounds 7 --out out/bench

Weights are random: they change no time. Each round measures all three, in alternating order, so that what else the
machine does falls on all. Without a card, seconds are the processor's. `--memory` instead makes one look with all
scores and tells the process's peak.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import spread, write_report
from detector.card import Card, without_losses
from detector.config import load_config
from detector.rejection.names import SCORES
from shards.build import plain
from shards.errors import ConfigError, run_cli

COLUMNS = {
    "config": "config",
    "picture": "picture",
    "batch": "pictures together",
    "bare_rate": "pictures/s, bare forward",
    "one_rate": "pictures/s with `msr`",
    "all_rate": "pictures/s with all six",
    "one_ratio": "ratio (`msr` / bare)",
    "all_ratio": "ratio (all / bare)",
}


def open_model(path: str) -> tuple[Any, int]:
    """The rejector of a config with random weights, and its pictures' side."""
    from detector.checkpoint import build_model

    config = load_config(path)
    if config.model.type != "MaskRejector":
        raise ConfigError(
            f"{path} builds a {config.model.type}; needed: a MaskRejector such as configs/detector/msr_mini.py"
        )
    torch.manual_seed(0)
    card = Card(without_losses(plain(config.model.to_dict())), config.image_size, ("clean", "artifact"))
    return build_model(card), config.image_size


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor without a card: what else the machine does then counts for nothing."""
    on_card = torch.cuda.is_available()
    clock = time.perf_counter if on_card else time.process_time
    began = clock()
    with torch.inference_mode():
        work()
    if on_card:
        torch.cuda.synchronize()
    return clock() - began


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    model, side = open_model(args.config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    width = args.width or side
    pixels = torch.randn(args.batch, 3, side, width, generator=torch.Generator().manual_seed(0)).to(device)
    works: list[Callable[[], Any]] = [
        lambda: model.network(pixel_values=pixels),
        lambda: model.look(pixels, ("msr",)),
        lambda: model.look(pixels, SCORES),
    ]
    for work in works:
        seconds(work)
    times = np.zeros((args.rounds, len(works)))
    for turn in range(args.rounds):
        for place in np.roll(np.arange(len(works)), turn).tolist():
            times[turn, place] = seconds(works[place])
    rates = args.batch / times
    return {
        "config": Path(args.config).stem,
        "picture": f"{side} x {width}",
        "batch": args.batch,
        "bare_rate": spread(rates[:, 0].tolist()),
        "one_rate": spread(rates[:, 1].tolist()),
        "all_rate": spread(rates[:, 2].tolist()),
        "one_ratio": spread((rates[:, 1] / rates[:, 0]).tolist()),
        "all_ratio": spread((rates[:, 2] / rates[:, 0]).tolist()),
    }


def peak(args: argparse.Namespace) -> str:
    """One look with all scores; the process's peak memory since it began."""
    import resource

    model, side = open_model(args.config)
    width = args.width or side
    with torch.inference_mode():
        model.look(torch.zeros(1, 3, side, width), SCORES)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return f"{Path(args.config).stem}, {side} x {width}, all six scores: peak {most:.2f} GB"


def run(args: argparse.Namespace) -> None:
    """Raises ConfigError, OutputError."""
    if min(args.rounds, args.batch) < 1 or args.width < 0:
        raise ConfigError("--rounds and --batch must be at least 1, and --width 0 or more")
    if args.memory:
        print(peak(args))
        return
    write_report(args.out, "rejection", "Rejection beside the bare network", COLUMNS, [measure(args)])


def main() -> int:
    top = argparse.ArgumentParser(
        "python -m benchmarks.rejection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--config", default="configs/detector/msr_mini.py")
    top.add_argument("--width", type=int, default=0, help="of the picture (default: its height)")
    top.add_argument("--batch", type=int, default=16, help="pictures together (default 16)")
    top.add_argument("--rounds", type=int, default=7, help="(default 7)")
    top.add_argument("--memory", action="store_true", help="peak memory of one look with all scores")
    top.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    args = top.parse_args()
    return run_cli(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
