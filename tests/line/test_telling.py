"""What a run says while it works and at its end: counts that add up, a page, and closing words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.report import write_run_view
from shards.reader import ShardReader
from shards.run_log import LOG
from shards.status import status_of


def test_counts_add_up(config_of: Callable[..., LineConfig], tmp_path: Path):
    out = tmp_path / "run"
    strict = {
        "injection": {"start_step": 47},
        "inversion": {"warm_passes": [2, 1]},
        "verification": {"threshold": 255.0, "policy": "drop"},
    }
    words = make_shards(config_of(corruption=strict), out)
    assert f"look at {out / 'sheet.png'} and {out / 'view' / 'index.html'}" in words
    found = status_of(out)
    (process,) = found.processes
    assert (found.state, process.state) == ("finished", "finished")
    assert (process.rows, process.done, process.total, process.left) == (12, 12, 12, 0.0)
    assert process.samples == found.totals["samples"] == len(ShardReader(out))
    assert process.rejects == found.totals["rejects"] == {"below_threshold": 12 - process.samples}
    assert process.yield_share == round(process.samples / 12, 4)
    assert process.nfe >= 12 * 3  # each picture at least inverted
    assert 0 < process.busy <= 1
    assert process.rate > 0
    make_shards(config_of(corruption=strict), out)  # complete: nothing is made, the log says so
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    assert [line["state"] for line in lines if line["state"] != "running"] == ["finished", "finished"]
    assert (lines[-1]["rows"], lines[-1]["done"]) == (0, 12)


def test_a_page_that_cannot_be_written_is_a_remark(finished_run: Path):
    (finished_run / "view").mkdir()
    (finished_run / "view" / "notes.txt").write_text("mine")
    assert write_run_view(finished_run, anew=True).endswith("(no page was made)")
    (finished_run / "view" / "notes.txt").unlink()
    assert write_run_view(finished_run, anew=True) == str(finished_run / "view" / "index.html")
    (finished_run / "view" / "index.html").write_text("of all samples")
    write_run_view(finished_run, anew=False)
    assert (finished_run / "view" / "index.html").read_text() == "of all samples"
