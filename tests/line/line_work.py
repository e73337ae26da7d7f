"""A run in a process of its own; apart from the other helpers, which import more than such a process needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shards.stores import Address


def work(
    values: dict[str, Any], out: Path | Address, rank: int = 0, num_processes: int = 1, extend: bool = False
) -> None:
    """What `python -m corruptor shards` does once its arguments are read."""
    from corruptor.line.command import make_shards
    from corruptor.line.config import LineConfig
    from corruptor.line.processes import Place
    from shards.config import make_config

    make_shards(make_config(values, LineConfig), out, Place(rank, num_processes), extend)
