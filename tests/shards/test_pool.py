"""A pool of processes, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USE = """
import multiprocessing
import time
from multiprocessing import util
from shards.pool import open_pool

def work(number):
    kept.append(multiprocessing.RLock())  # as tqdm has one for its bars
    # A process that takes its time to end, so that one which is stopped has not put the lock back.
    util.Finalize(None, time.sleep, args=(0.3,), exitpriority=100)
    if number == {fails}:
        raise ValueError("no such number")
    return number * number

kept = []

if __name__ == "__main__":
    with open_pool(2) as pool:
        print(sorted(pool.imap_unordered(work, range(8))))
"""


def ran(folder: Path, fails: int) -> subprocess.CompletedProcess[str]:
    (folder / "use.py").write_text(USE.format(fails=fails))
    here = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "use.py"],
        cwd=folder, env={"PYTHONPATH": here}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_nothing_is_left_behind_and_nothing_said_of_it(tmp_path: Path):
    done = ran(tmp_path, fails=-1)
    assert done.stdout == f"{[number * number for number in range(8)]}\n"
    assert done.stderr == ""  # no leaked semaphores


@pytest.mark.parametrize("fails", [0, 7])
def test_what_a_process_raises_ends_the_pool(tmp_path: Path, fails: int):
    done = ran(tmp_path, fails)
    assert done.returncode == 1
    assert "ValueError: no such number" in done.stderr
