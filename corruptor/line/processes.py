"""Which process of how many this is, as launchers say it: accelerate, torchrun, SLURM (tasks and arrays), or by hand.

Nothing but preference and device follows from it: shards are claimed one by one (shards.writer), so a wrong number
makes a run slower, never incomplete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from shards.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """Process `rank` of `num_processes`, the `local_rank`-th of its machine."""

    rank: int = 0
    num_processes: int = 1
    local_rank: int = 0

    def __post_init__(self) -> None:
        if self.num_processes < 1 or not 0 <= self.rank < self.num_processes or self.local_rank < 0:
            raise ConfigError(
                f"rank {self.rank} of {self.num_processes} processes (rank on its machine {self.local_rank}): "
                f"ranks count from 0 and stay below the number of processes"
            )

    @property
    def summary(self) -> str:
        return f"process {self.rank} of {self.num_processes}"


ALONE = Place()


def find_place(
    rank: int | None = None, num_processes: int | None = None, environ: Mapping[str, str] = os.environ
) -> Place:
    """What was given, else what the first launcher found in the environment says, else process 0 of 1.

    torchrun and accelerate: RANK, WORLD_SIZE, LOCAL_RANK. SLURM: SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID within
    SLURM_ARRAY_TASK_ID of SLURM_ARRAY_TASK_COUNT. Raises ConfigError for what is no number or does not fit.
    """
    if (rank is None) != (num_processes is None):
        raise ConfigError("--rank and --num-processes belong together, such as --rank 0 --num-processes 8")
    local = _number(environ, "LOCAL_RANK", _number(environ, "SLURM_LOCALID", 0))
    if rank is not None and num_processes is not None:
        return Place(rank, num_processes, local)
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return Place(_number(environ, "RANK"), _number(environ, "WORLD_SIZE"), local)
    tasks, task = _number(environ, "SLURM_NTASKS", 1), _number(environ, "SLURM_PROCID", 0)
    if "SLURM_ARRAY_TASK_ID" in environ:
        count = _number(environ, "SLURM_ARRAY_TASK_COUNT", 1)
        first, step = _number(environ, "SLURM_ARRAY_TASK_MIN", 0), _number(environ, "SLURM_ARRAY_TASK_STEP", 1)
        # Of an irregular list such as 1,5,6 two tasks may share a rank; they still claim different shards.
        job = (_number(environ, "SLURM_ARRAY_TASK_ID") - first) // max(step, 1) % count
        return Place(job * tasks + task, count * tasks, local)
    return Place(task, tasks, local)


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "")
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text!r} in the environment is no whole number; unset it or give --rank") from error
