"""What test_processes does in processes of their own; light, since each of them imports it."""

from __future__ import annotations

import os
import signal

from shards.errors import ConfigError


def in_a_process(task: str) -> None:
    """An error of the user, one of ours, a kill, or what the process sees."""
    if task == "user":
        raise ConfigError("not\nso")
    if task == "bug":
        raise KeyError("x")
    if task == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print(os.environ["OMP_NUM_THREADS"], os.environ.get("CUDA_VISIBLE_DEVICES"))
