"""Work shared with other processes: in order, errors at their place, nothing lost with a process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shards.errors import SchemaError
from shards.export.side_by_side import AHEAD, SideBySide


@dataclass(frozen=True)
class Square:
    """Squares a number, slowly, and says by whom."""

    home: int
    folder: Path
    deadly: int = -1
    wrong: int = -1

    def __call__(self, number: int) -> tuple[int, bool]:
        time.sleep(0.01)
        if number == self.wrong:
            raise SchemaError(f"{number} is damaged")
        away = os.getpid() != self.home
        if away and number >= self.deadly >= 0:
            os._exit(1)
        (self.folder / f"{number}").touch()
        return number**2, away


def counted(count: int, seen: list[int]) -> Iterator[int]:
    for number in range(count):
        seen.append(number)
        yield number


@pytest.mark.parametrize("has_threads", [False, True])
def test_results_come_in_order_and_others_take_part(has_threads: bool, tmp_path: Path):
    """With a thread the others are started afresh, else copied."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    if has_threads:
        thread.start()
    seen: list[int] = []
    away = 0
    with SideBySide(Square(os.getpid(), tmp_path), 3) as crew:
        for number, (square, was_away) in enumerate(crew.results(counted(600, seen))):
            assert square == number**2
            away += was_away
            assert len(seen) - number <= 3 * AHEAD, "more is under way than was agreed"
    ended.set()
    assert len(seen) == number + 1 == 600
    assert 0 < away < 600
    assert not any(other.process.is_alive() for other in crew.others)


def test_what_is_raised_comes_at_its_place(tmp_path: Path):
    done: list[int] = []
    with SideBySide(Square(os.getpid(), tmp_path, wrong=40), 2) as crew:
        results = (done.append(square) for square, _ in crew.results(range(100)))
        with pytest.raises(SchemaError, match="40 is damaged"):
            list(results)
    assert done == [number**2 for number in range(40)]
    assert not crew.others[0].process.is_alive()


def test_a_process_that_is_lost_costs_nothing(tmp_path: Path):
    with SideBySide(Square(os.getpid(), tmp_path, deadly=20), 3) as crew:
        found = list(crew.results(range(300)))
    assert [square for square, _ in found] == [number**2 for number in range(300)]
    assert all(other.is_lost for other in crew.others)
    assert not any(was_away for _, was_away in found[40:])
    assert len(list(tmp_path.iterdir())) == 300


def test_one_process_is_this_one(tmp_path: Path):
    with SideBySide(Square(os.getpid(), tmp_path), 1) as crew:
        assert list(crew.results(range(3))) == [(0, False), (1, False), (4, False)]
