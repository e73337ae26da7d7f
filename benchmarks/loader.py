"""Training from shards against training from memory: the same loop, the same draws, in turns within one run.

    python -m benchmarks.loader --shards out/miniworld --iterations 10 --rounds 7 --out out/bench

Both sides take the same numbered draws through the same pipeline into the same training step; one reads and decodes
its samples from the tars (indexed seeks), the other finds them decoded in memory. The ratio of their rates is what
reading costs. Each round measures both, in alternating order, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import spread, write_report
from detector.config import load_config
from shards.errors import ConfigError, run_cli

COLUMNS = {
    "config": "config",
    "workers": "loader workers",
    "shards_rate": "iterations/s from shards",
    "memory_rate": "iterations/s from memory",
    "ratio": "ratio (shards / memory)",
    "loading": "samples/s, reading alone",
}


def datasets(config: Any, shards: list[str], limit: int) -> tuple[Any, Any]:
    """The same samples from tars and from memory, through the config's pipeline. Raises ConfigError for mixed sizes."""
    from detector.data import MemoryDataset, ShardDataset

    options = config.train_dataloader.dataset
    stored = ShardDataset(shards, options.pipeline, options.seed, limit)
    loaded = [stored.load(i) for i in range(len(stored))]
    if len({image.shape for image, _, _ in loaded}) > 1:
        raise ConfigError("the memory side needs samples of one size; name shards of one size")
    images, labels = np.stack([image for image, _, _ in loaded]), np.stack([label for _, label, _ in loaded])
    return stored, MemoryDataset(images, labels, options.pipeline, options.seed)


def batches(config: Any, dataset: Any, workers: int) -> Iterator[Any]:
    """An endless loader as training has it."""
    from mmengine.dataset import pseudo_collate

    from detector.data import DrawSampler

    size = config.train_dataloader.batch_size
    return iter(
        torch.utils.data.DataLoader(
            dataset, size, sampler=DrawSampler(dataset), num_workers=workers, collate_fn=pseudo_collate
        )
    )


def timed_steps(model: Any, optimizer: Any, data: Iterator[Any], count: int) -> float:
    """Seconds for `count` iterations of loading, forward, backward and update."""
    began = time.perf_counter()
    for _ in range(count):
        prepared = model.data_preprocessor(next(data), True)
        losses = model.loss(**prepared)
        sum(value for name, value in losses.items() if "loss" in name).backward()
        optimizer.step()
        optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    from detector import registry  # noqa: F401  registers what the config names
    from detector.checkpoint import build_model
    from detector.train import Job, make_card

    config = load_config(args.config)
    name = Path(args.config).stem
    model = build_model(make_card(Job(config, name, Path()))).train()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    stored, kept = datasets(config, args.shards, args.limit)
    sides = {"shards": batches(config, stored, args.workers), "memory": batches(config, kept, args.workers)}
    for data in sides.values():
        timed_steps(model, optimizer, data, 2)
    seconds: dict[str, list[float]] = {"shards": [], "memory": []}
    for turn in range(args.rounds):
        for side in ("shards", "memory") if turn % 2 else ("memory", "shards"):
            seconds[side].append(timed_steps(model, optimizer, sides[side], args.iterations))
    began = time.perf_counter()
    for i in range(len(stored)):
        stored.load(i)
    return {
        "config": name,
        "workers": args.workers,
        "shards_rate": spread([args.iterations / s for s in seconds["shards"]]),
        "memory_rate": spread([args.iterations / s for s in seconds["memory"]]),
        "ratio": spread([m / s for s, m in zip(seconds["shards"], seconds["memory"], strict=True)]),
        "loading": len(stored) / (time.perf_counter() - began),
        "batch_size": config.train_dataloader.batch_size,
    }


def main() -> int:
    """Exit code 0, or 2 on bad input."""
    top = argparse.ArgumentParser("python -m benchmarks.loader", description=__doc__)
    top.add_argument("--config", default="configs/detector/swin_mini.py")
    top.add_argument("--shards", nargs="+", default=["out/miniworld"], metavar="DIR")
    top.add_argument("--limit", type=int, default=512, help="samples held in memory (default 512)")
    top.add_argument("--workers", type=int, default=0)
    top.add_argument("--iterations", type=int, default=10, help="iterations of one measurement (default 10)")
    top.add_argument("--rounds", type=int, default=7)
    top.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    args = top.parse_args()

    def run() -> int:
        row = measure(args)
        write_report(args.out, "loader", "Training from shards and from memory", COLUMNS, [row])
        return 0

    return run_cli(run)


if __name__ == "__main__":
    sys.exit(main())
