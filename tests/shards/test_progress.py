"""Lines in a log, a bar on a terminal, and what a stopped command says and leaves."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from shards import progress as module
from shards.config import INSTALLED
from shards.errors import run_cli
from shards.progress import GOES_ON, Progress, progress, stopped_at

ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join([str(INSTALLED), str(Path(__file__).parent)])}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_gets_a_line_every_30_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress(100, "image", "shards", initial=20) as shown:
        for _ in range(8):
            clock.now += 10
            shown.update(10, rejected=1)
    said = capsys.readouterr().err.splitlines()
    # 30 images in 30 s are 1 a second; 50 of 100 leave 50 s.
    assert said == [
        "shards: 50 of 100 images (50%), 1 images/s, 50.0 s left, rejected 3",
        "shards: 80 of 100 images (80%), 1 images/s, 20.0 s left, rejected 6",
        "shards: 100 of 100 images (100%), 1 images/s, 1 min 20 s in all, rejected 8",
    ]


def test_what_is_quick_or_quiet_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]):
    for _ in progress(range(3), "image"):
        clock.now += 5
    with Progress(3, "image", quiet=True) as shown:
        clock.now += 100
        shown.update(3)
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_though_nothing_has_been_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(module, "EVERY", 0.2)
    with Progress(4, "image", "shards") as shown:
        shown.update(1)
        time.sleep(0.9)  # two lines at least, however slow the machine
        shown.update(3)
    said = capsys.readouterr().err.splitlines()
    assert 2 <= len(said) - 1 <= 4
    assert all(line.startswith("shards: 1 of 4 images (25%)") for line in said[:-1])
    assert said[-1].startswith("shards: 4 of 4 images (100%)")
    time.sleep(0.5)
    assert capsys.readouterr().err == ""


def test_a_line_is_not_said_twice(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress(2, "image") as shown:
        clock.now += 30
        shown.update(2)
        shown.tell_if_due()
    assert capsys.readouterr().err == "2 of 2 images (100%), 0.0667 images/s, 30.0 s in all\n"


def test_what_nobody_has_any_more_is_silent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "EVERY", 0.05)
    before = threading.active_count()
    Progress(4, "image")
    Progress(4, "image", quiet=True)  # the one begun last is kept for the closing word
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before


def test_bytes_and_unknown_totals(clock: Clock):
    shown = Progress(4_000_000_000, "B", "index of tars")
    clock.now += 100
    shown.update(1_000_000_000)
    assert shown.summary() == "index of tars: 1.0 of 4.0 GB (25%), 10.0 MB/s, 5 min 00 s left"
    shown = Progress(0, "sample")
    shown.update(3)
    clock.now += 2
    assert shown.summary() == "3 samples, 1.5 samples/s"


def test_a_terminal_gets_a_bar():
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    code = "from shards.progress import progress\nfor _ in progress(range(5), 'image', 'try'): pass"
    subprocess.run([sys.executable, "-c", code], env=ENVIRON, stderr=follower, check=True)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "try: 100%" in shown
    assert "5/5" in shown


def test_where_a_command_was_stopped():
    with Progress(5, "image", resumes=GOES_ON) as shown:
        shown.update(2)
        assert stopped_at() == f" at 2 of 5 images; {GOES_ON}"
        shown.update(3)
    assert stopped_at() == ""


WORKING = """
import sys, threading, time
from pathlib import Path
from shards.errors import run_cli
from shards.progress import GOES_ON, Progress
from shards.pool import in_processes
from stop_work import slow

def main():
    if sys.argv[1] == "pool":
        for _ in in_processes(2, slow, [sys.argv[2]] * 4, "task"):
            pass
    with Progress(10, "picture", resumes=GOES_ON) as shown:
        shown.update(3)
        Path(sys.argv[2], "ready").touch()
        threading.Event().wait(60)

if __name__ == "__main__":
    sys.exit(run_cli(main))
"""


def stop(tmp_path: Path, kind: str, number: int) -> tuple[int, str, float]:
    """Start work, signal it when it is under way; exit code, standard error and seconds until the end."""
    script = tmp_path / "work.py"
    script.write_text(WORKING)
    process = subprocess.Popen(
        [sys.executable, str(script), kind, str(tmp_path)], env=ENVIRON, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    return process.returncode, said, time.monotonic() - began


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")])
def test_a_stopped_command_says_where_it_was(tmp_path: Path, number: int, code: int, name: str):
    assert stop(tmp_path, "alone", number)[:2] == (code, f"stopped by {name} at 3 of 10 pictures; {GOES_ON}\n")


def test_its_child_processes_end(tmp_path: Path):
    code, said, _ = stop(tmp_path, "pool", signal.SIGTERM)
    assert (code, said) == (143, f"stopped by SIGTERM at 0 of 4 tasks; {GOES_ON}\n")
    children = [int(path.name) for path in (tmp_path / "children").iterdir()]
    assert children
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a child lives on"
        time.sleep(0.05)


def test_the_handler_of_others_stays():
    def mine(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        assert run_cli(lambda: int(signal.getsignal(signal.SIGTERM) is not mine)) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGTERM) is before
