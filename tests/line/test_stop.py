"""A run that is told to stop puts everything away, says how far it is, and goes on with the same command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from line_tools import line_values, run_again, terminated


def test_a_run_that_is_terminated(pictures: Path, tiny_model: Path, tmp_path: Path):
    values = line_values(pictures, tiny_model, samples={"sources_per_shard": 1, "clean_share": 0.3})
    config, out = tmp_path / "quick.py", tmp_path / "run"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    command = [sys.executable, "-m", "corruptor", "shards", str(config), "--out", str(out)]
    said = terminated(command, out)
    closing = (
        r"stopped by SIGTERM at \d+ of 12 images; complete shards are kept, and the same command again resumes .*\n"
    )
    assert re.fullmatch(closing, said), said
    assert not list(out.rglob("*.partial")), "something is left half written"
    run_again(command, out)
