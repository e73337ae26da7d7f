"""SIGKILL at any moment, then the same command again: the run ends byte for byte as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, tree
from line_work import work


@pytest.mark.parametrize("num_kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(
    num_kills: int, pictures: Path, tiny_model: Path, tmp_path: Path
):
    # A server that has imported everything forks each process, so that the kills fall into work, not into imports.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["corruptor.line.run", "corruptor.line.command"])
    values = line_values(pictures, tiny_model, samples={"sources_per_shard": 2, "clean_share": 0.3})

    def start(out: Path) -> Any:
        process = context.Process(target=work, args=(values, out))
        process.start()
        return process

    start(tmp_path / "warm").join()
    began = time.monotonic()
    first = start(tmp_path / "reference")
    first.join()
    assert first.exitcode == 0
    length = time.monotonic() - began
    reference = tree(tmp_path / "reference")
    moments, out, killed = random.Random(0), tmp_path / "run", 0
    while killed < num_kills:
        process = start(out)
        process.join(moments.uniform(0.05, 0.9) * length)
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
            published = {name: digest for name, digest in tree(out).items() if name.endswith((".tar", "stats.json"))}
            assert published.items() <= reference.items(), "a file under a final name differs"
        else:
            assert process.exitcode == 0
            assert tree(out) == reference
            shutil.rmtree(out)
    last = start(out)
    last.join()
    assert last.exitcode == 0
    assert tree(out) == reference
