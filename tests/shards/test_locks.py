"""Numbered locks: one holder, freed by the kernel when it dies."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from shards.errors import OutputError, ResumeError
from shards.locks import Locks
from shards.writer import END, LOCKS, RunInfo, RunWriter

CONTEXT = multiprocessing.get_context("fork")


def hold(path: Path, numbers: list[int], pipe: Any) -> None:
    locks = Locks(path)
    pipe.send([locks.take(number) for number in numbers])
    pipe.recv()


def holder(path: Path, numbers: list[int]) -> tuple[Any, list[bool], Any]:
    """Another process that takes these locks and keeps them until it is told to end."""
    mine, its = CONTEXT.Pipe()
    process = CONTEXT.Process(target=hold, args=(path, numbers, its), daemon=True)
    process.start()
    return process, mine.recv(), mine


def test_a_lock_has_one_holder_and_a_kill_frees_it(tmp_path):
    path = tmp_path / "lock"
    process, taken, _ = holder(path, [0, 7])
    assert taken == [True, True]
    locks = Locks(path)
    assert [locks.take(number) for number in (0, 1, 7)] == [False, True, False]
    process.kill()
    process.join()
    assert [locks.take(number) for number in (0, 7)] == [True, True]


def test_a_lock_of_ours_can_be_taken_again_and_let_go(tmp_path):
    path = tmp_path / "lock"
    locks = Locks(path)
    assert locks.take(3)
    assert locks.take(3)
    assert locks.holds(3)
    locks.release(3)
    locks.release(4)  # never ours
    assert holder(path, [3])[1] == [True]


def test_two_objects_of_one_process_exclude_each_other_and_outlive_each_other(tmp_path):
    path = tmp_path / "lock"
    one, two = Locks(path), Locks(path)
    assert one.take(0)
    assert not two.take(0)
    assert two.take(1)
    del two
    assert one.take(1), "let go with its object"
    process, taken, _ = holder(path, [0])
    assert taken == [False], "closing the second must not drop the lock of the first"
    process.kill()


def test_waiting_ends_when_the_other_is_done_even_if_it_removes_the_file(tmp_path):
    path = tmp_path / "lock"
    process, _, pipe = holder(path, [0])
    locks = Locks(path)
    assert not locks.take(0)
    path.unlink()
    pipe.send("end")
    process.join()
    locks.wait(0)
    assert path.exists()
    assert holder(path, [0])[1] == [False]


def test_a_file_system_without_locks_is_noticed(tmp_path, monkeypatch):
    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    run = RunWriter(tmp_path / "run", RunInfo({}, {}, 5))
    # Without locks nobody takes what belongs to others.
    assert list(run.claims(1, 2)) == [1, 3]
    assert not run.locks.work
    assert not run.locks.wait(5)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    if os.geteuid() == 0:
        path = tmp_path / "gone" / "lock"
        with pytest.raises(OutputError, match="cannot be written"):
            Locks(path).take(0)
        return
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="choose a folder that you may write to"):
        Locks(tmp_path / "lock").take(0)


def test_claims_are_ones_own_first_then_from_the_end_what_nobody_makes(tmp_path, sample):
    run = RunWriter(tmp_path / "run", RunInfo({}, {}, 6))
    with run.shard(2) as shard:
        shard.write(sample(2, 0))
    process, taken, _ = holder(run.out / LOCKS, [5])
    assert taken == [True]
    claims = run.claims(0, 2)
    assert next(claims) == 0
    with pytest.raises(ResumeError, match="made by another process"), run.shard(5):
        pass
    process.kill()
    process.join()
    # 2 is done; 5 was held when this began, and is free now.
    assert list(claims) == [4, 5, 3, 1]
    run.locks.release(4)
    assert list(run.claims(0, 2)) == [0, 4, 5, 3, 1], "what is claimed and not made can be claimed again by its holder"


def test_the_lock_file_goes_when_the_run_is_complete(tmp_path, run_maker):
    run = run_maker(tmp_path / "run", finalise=False)
    assert (run.out / LOCKS).exists()
    with run.alone() as waited:
        assert not waited
        run.finalise()
        assert run.locks.holds(END)
    assert not (run.out / LOCKS).exists()


def test_the_end_waits_for_another_that_is_at_it(tmp_path, run_maker):
    run = run_maker(tmp_path / "run", finalise=False)
    process, _, _ = holder(run.out / LOCKS, [END])
    threading.Timer(0.3, process.kill).start()
    began = time.monotonic()
    with run.alone() as waited:
        assert waited
    assert time.monotonic() - began > 0.2
