"""Freed memory that is kept, in a process of its own: the setting stays with a process to its end."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from shards.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = np.ones(20 << 20, np.uint8)
del block
before = faults()
for _ in range(10):
    block = np.ones(20 << 20, np.uint8)
    del block
print(faults() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc alone has it")
def test_the_next_block_is_where_the_last_one_was():
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)
        for how in ("keep", "as ever")
    )
    assert kept < 100  # of 51,200 pages of 4 KiB
    assert given_back > 10 * max(kept, 1)
