"""What `blemish status` says of trainings, ablations and leak checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shards.__main__ import main
from shards.claims import LOCK, Claim
from shards.config import INSTALLED
from shards.locks import Locks
from shards.run_log import LOG, RunLog, Work
from shards.work_status import GOES_ON, line_words, work_status_of

WORK = """
import sys, time
from pathlib import Path
from shards.locks import Locks
from shards.run_log import RunLog, Work
out = Path(sys.argv[1])
work = Work("ablation", "stage", 4, 1)
work.done, work.notes = 2, "at work: train"
with RunLog(out, Locks(out / ".lock"), 0, work.facts):
    print("at work", flush=True)
    time.sleep(60)
"""


def test_running_failed_and_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claim = Claim(tmp_path / "out", "run.json", {"a": 1}, "training")
    work = Work("training of swin_mini", "iteration", 100, 20)
    with claim.held():
        log = RunLog(claim.out, claim.lock, 0, work.facts).__enter__()
        work.done, work.notes = 60, "loss 0.25"
        found = work_status_of(claim.out)
        assert found is not None
        assert (found.state, found.work, found.processes[0].done) == ("running", "training of swin_mini", 20)
        log.__exit__(OSError, OSError("full"), None)
        found = work_status_of(claim.out)
        assert found is not None
        assert found.state == "running"  # whoever holds the folder may write its result still
        assert found.processes[0].state == "failed"
        assert found.processes[0].notes == "loss 0.25"
    assert main(["status", str(claim.out)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{claim.out}: training of swin_mini, {GOES_ON}"
    assert f"process 0 (pid {os.getpid()}): failed, 60 of 100 iterations, loss 0.25; said " in said[1]
    (claim.out / "train.json").write_text("{}")
    assert main(["status", str(claim.out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "finished"
    assert told["processes"][0]["total"] == 100


def test_rate_and_time_left_by_hand():
    work = Work("training", "iteration", 100, 20)
    work._began = time.monotonic() - 10
    work.done = 60
    facts = work.facts()
    assert facts["rate"] == pytest.approx(4, rel=0.01)
    assert facts["left"] == pytest.approx(10, abs=0.2)
    from shards.build import build
    from shards.status import Line

    line = build(Line, {"time": 100.0, "process": 0, "pid": 1, "state": "running", **facts, "rate": 4.0, "left": 10.0})
    assert line_words("p", line, 103.0) == (
        "p: running, 60 of 100 iterations, 4 iterations/s, about 10.0 s left; said 3.0 s ago"
    )
    slow = build(Line, {"time": 0.0, "process": 0, "pid": 1, "state": "running", **facts, "rate": 0.01, "left": 9.0})
    assert "1 min 40 s each, about 9.0 s left" in line_words("p", slow, 0.0)


def test_what_is_at_work_below_and_a_process_that_was_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    training = tmp_path / "stages" / "abc" / "train"
    training.mkdir(parents=True)
    finished = tmp_path / "stages" / "done"
    finished.mkdir()
    with RunLog(finished, Locks(finished / LOCK), 0, Work("training", "iteration", 5).facts):
        pass
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    with RunLog(training, Locks(training / LOCK), 0, Work("training", "iteration", 7, 3).facts):
        assert main(["status", str(tmp_path)]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == f"{tmp_path}: ablation, running"
        assert "running, 2 of 4 stages" in said[1]
        assert "at work: train" in said[1]
        assert said[2].startswith("  stages/abc/train: running, 3 of 7 iterations")
        assert len(said) == 3
    process.kill()
    process.wait()
    found = work_status_of(tmp_path)
    assert found is not None
    assert [one.state for one in found.processes] == ["dead"]
    assert (found.state, found.below) == (GOES_ON, ())


@pytest.mark.parametrize(
    ("files", "work"),
    [
        (["run.json", "train.json"], "training"),
        (["leakcheck.json"], "leak check"),
        (["grid.json", "report.md"], "ablation"),
    ],
)
def test_works_without_a_log(files: list[str], work: str, tmp_path: Path):
    for name in files[:-1]:
        (tmp_path / name).write_text("{}")
        assert work_status_of(tmp_path) is None
    (tmp_path / files[-1]).write_text("{}")
    found = work_status_of(tmp_path)
    assert found is not None
    assert (found.work, found.state) == (work, "finished")


def test_nothing_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / LOG).write_bytes(b"\xff{[" * 1000)
    for where in (tmp_path, tmp_path / "no"):
        assert main(["status", str(where)]) == 2
        said = capsys.readouterr().err
        assert "and no training, ablation or leak check that was begun" in said
        assert said.count("\n") == 1
