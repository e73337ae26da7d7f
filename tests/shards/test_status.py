"""What a run says of itself while it works, and what another terminal sees of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shards import run_log
from shards.__main__ import main
from shards.config import INSTALLED
from shards.errors import MissingInputError, ResumeError
from shards.locks import Locks, is_held
from shards.run_log import LOG, RunLog, log_path
from shards.status import SILENT, last_line, status_of
from shards.writer import LOCKS, RunWriter

FACTS: dict[str, Any] = {
    "seconds": 10.0,
    "rows": 8,
    "samples": 6,
    "rejects": {"no_region": 2},
    "nfe": 96,
    "busy": 0.9,
    "rate": 0.8,
    "yield_share": 0.75,
    "done": 8,
    "total": 16,
    "left": 10.0,
}
WHOLE, HALF = '{"time": 1.0, "process": 0, "pid": 5, "state": "running", "rows": 7}', '{"time": 2.0, "pr'
WORK = """
import sys, time
from pathlib import Path
from shards.locks import Locks
from shards.run_log import RunLog
out = Path(sys.argv[1])
with RunLog(out, Locks(out / ".lock"), 0, lambda: {"rows": 3}):
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def half(tmp_path: Path, run_maker: Callable[..., RunWriter]) -> RunWriter:
    """A run of two shards, one of them done."""
    run = run_maker(tmp_path / "half", finalise=False)
    for suffix in ("tar", "stats.json", "rejects.jsonl"):
        run.path(1, suffix).unlink()
    return run


def at_work(out: Path) -> subprocess.Popen[str]:
    """A process that logs and does nothing else."""
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    process = subprocess.Popen([sys.executable, "-c", WORK, str(out)], env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def test_running_then_finished(half: RunWriter):
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        found = status_of(half.out)
        assert (found.state, found.shards_done, found.shards) == ("running", 1, 2)
        assert [(one.process, one.state, one.rows) for one in found.processes] == [(0, "running", 8)]
        assert found.totals["samples"] == 4
        assert found.totals["rejects"] == {"no_region": 1}
        words = "\n".join(found.words(found.processes[0].time + 5))
        assert "8 of 16 images, 0.8 images/s, about 10.0 s left" in words
        assert "yield 75%, rejected: no_region 2, 96 noise predictions, model busy 90%; said 5.0 s ago" in words
    found = status_of(half.out)
    assert found.state.startswith("not running")  # the process ended well, the run has a shard to go
    assert [one.state for one in found.processes] == ["finished"]


def test_a_process_elsewhere_that_is_killed_is_dead_at_once(half: RunWriter):
    process = at_work(half.out)
    assert status_of(half.out).state == "running"
    process.kill()
    process.wait()
    found = status_of(half.out)
    assert [(one.state, one.rows) for one in found.processes] == [("dead", 3)]
    assert found.state == "not running; the same command again goes on"


def test_ctrl_c_and_failures_are_told_apart(half: RunWriter):
    process = at_work(half.out)
    process.send_signal(signal.SIGINT)
    process.wait()
    assert [one.state for one in status_of(half.out).processes] == ["stopped"]
    with pytest.raises(OSError, match="full"), RunLog(half.out, half.locks, 0, lambda: FACTS):
        raise OSError("full")
    assert [one.state for one in status_of(half.out).processes] == ["failed"]


def test_looking_takes_no_lock_and_drops_none(half: RunWriter):
    assert half.locks.take(1)
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        before = sorted(path.name for path in half.out.rglob("*"))
        status_of(half.out)
        assert sorted(path.name for path in half.out.rglob("*")) == before
        code = f"from shards.locks import *\nimport sys\nsys.exit(Locks(Path({str(half.out / LOCKS)!r})).take(1))"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # still ours


def test_two_processes_of_one_number(half: RunWriter):
    process = at_work(half.out)
    with RunLog(half.out, half.locks, 0, lambda: FACTS) as log:
        assert log.process == 1
        assert [one.state for one in status_of(half.out).processes] == ["running", "running"]
        assert log_path(half.out, 1).name == "progress.1.jsonl"
    process.kill()
    process.wait()


def test_lines_come_while_nothing_happens(half: RunWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_log, "SHORT", 0.02)
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        deadline = time.monotonic() + 20
        while (half.out / LOG).read_bytes().count(b"\n") < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    lines = [json.loads(line) for line in (half.out / LOG).read_text().splitlines()]
    assert [line["state"] for line in lines[:2]] == ["running", "running"]
    assert lines[-1]["state"] == "finished"
    assert {line["process"] for line in lines} == {0}
    deadline = time.monotonic() + 20
    while any(thread.name == "run-log" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_half_a_line_is_ended_and_skipped(half: RunWriter):
    (half.out / LOG).write_text(
        '{"time": 1.0, "process": 0, "pid": 5, "state": "running", "rows": 7}\n{"time": 2.0, "pr'
    )
    line = last_line(half.out / LOG)
    assert line is not None
    assert line.rows == 7
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        pass
    lines = (half.out / LOG).read_text().splitlines()
    assert lines[:2] == [WHOLE, HALF]
    assert [json.loads(line)["state"] for line in lines[2:]] == ["running", "finished"]


def test_where_there_are_no_locks_silence_counts(half: RunWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shards.status.is_held", lambda path, number: None)
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        assert status_of(half.out).processes[0].state == "running"
        assert status_of(half.out, time.time() + SILENT + 1).processes[0].state == "dead"


def test_a_log_that_cannot_be_written_stops_nothing(half: RunWriter):
    (half.out / LOG).mkdir()
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        assert status_of(half.out).processes == ()
    (half.out / LOG).rmdir()
    target = half.out.parent / "other.txt"
    target.write_text("mine")
    (half.out / LOG).symlink_to(target)
    with RunLog(half.out, half.locks, 0, lambda: FACTS):
        pass
    assert target.read_text() == "mine"


def test_a_lock_is_seen_from_within_and_without(tmp_path: Path):
    path = tmp_path / "lock"
    assert is_held(path, 3) is False
    locks = Locks(path)
    assert locks.take(3)
    assert is_held(path, 3) is True
    assert is_held(path, 4) is False
    code = "import sys\nfrom shards.locks import *\nsys.exit(10 * is_held(Path(sys.argv[1]), 3))"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 10
    locks.release(3)
    assert is_held(path, 3) is False


def test_the_command(half: RunWriter, capsys: pytest.CaptureFixture[str]):
    assert main(["status", str(half.out.parent / "nothing")]) == 2
    assert "holds no run of shards" in capsys.readouterr().err
    assert main(["status", str(half.out)]) == 1
    assert "not running; the same command again goes on, 1 of 2 shards done (50%)" in capsys.readouterr().out


def test_a_finished_run_as_words_and_json(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["status", str(finished_run)]) == 0
    said = capsys.readouterr().out
    assert "finished, 2 of 2 shards done (100%)" in said
    assert "in them 8 samples, 3 with artifacts; rejected: no_region 2" in said
    assert main(["status", str(finished_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["samples"] == 8


@pytest.mark.parametrize("text", ["{", '{"num_shards": "many"}', '{"num_shards": -1}'])
def test_a_damaged_manifest(finished_run: Path, text: str):
    (finished_run / "manifest.json").write_text(text)
    with pytest.raises(ResumeError, match=r"damaged|manifest"):
        status_of(finished_run)


def test_no_run(tmp_path: Path):
    with pytest.raises(MissingInputError, match="name the folder of a run"):
        status_of(tmp_path)


def test_hostile_logs(finished_run: Path):
    (finished_run / LOG).write_bytes(b'{"time": NaN}\n\xff\xfe\n[1]\n' + b"x" * 200_000)
    os.mkfifo(finished_run / "progress.1.jsonl")
    (finished_run / "progress.2.jsonl").write_text('{"time": 1.0, "process": 0, "pid": 1, "state": "running"}\n')
    assert status_of(finished_run).processes == ()
