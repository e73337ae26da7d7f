"""A run that is told to stop puts everything away, says how far it is, and goes on with the same command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from line_tools import line_values

from shards.check import check_run
from shards.config import INSTALLED


def test_a_run_that_is_terminated(pictures: Path, tiny_model: Path, tmp_path: Path):
    values = line_values(pictures, tiny_model, samples={"sources_per_shard": 1, "clean_share": 0.3})
    config, out = tmp_path / "quick.py", tmp_path / "run"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    before = signal.getsignal(signal.SIGTERM)
    command = [sys.executable, "-m", "corruptor", "shards", str(config), "--out", str(out)]
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("shards/*.stats.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    closing = (
        r"stopped by SIGTERM at \d+ of 12 images; complete shards are kept, and the same command again resumes .*\n"
    )
    assert re.fullmatch(closing, said), said
    assert not list(out.rglob("*.partial")), "something is left half written"
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert check_run(out).ok
    assert signal.getsignal(signal.SIGTERM) is before
