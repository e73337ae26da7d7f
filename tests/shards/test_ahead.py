"""Reading ahead: in order, errors at their place, bounded in memory, and no thread that hangs keeps anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from shards.ahead import IN_FLIGHT, Memory, ahead, ahead_within


def test_a_thread_that_hangs_keeps_nobody():
    release = threading.Event()

    def work(number: int) -> int:
        if number == 2:
            release.wait(60)
        return number * 10

    def numbers() -> Iterator[int]:
        yield from range(100)

    results = ahead(work, numbers(), num_threads=2, num_waiting=2, name="test")
    assert [next(results) for _ in range(2)] == [(0, 0), (1, 10)]
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 5
    release.set()


def test_work_ahead_is_in_order_and_errors_come_at_their_place():
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            asked.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        if number == 9:
            raise OSError("nine")
        return -number

    results = ahead(work, numbers(), num_threads=3, num_waiting=4, name="test")
    assert next(results) == (0, 0)
    assert len(asked) <= 6
    assert [next(results) for _ in range(8)] == [(number, -number) for number in range(1, 9)]
    with pytest.raises(OSError, match="nine"):
        next(results)


def test_work_ahead_keeps_within_its_memory():
    now, most, lock = [0], [0], threading.Lock()

    def work(size: int) -> int:
        with lock:
            now[0] += size
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= size
        return size

    sizes = [IN_FLIGHT // 2, IN_FLIGHT // 3, 1, 2 * IN_FLIGHT, 0, IN_FLIGHT // 2, IN_FLIGHT // 2 + 1, 7] * 4
    memory: Memory[int, int] = Memory(lambda size: size, lambda size: size // 2)
    found = list(ahead_within(work, sizes, num_threads=4, num_waiting=8, name="test", memory=memory))
    assert found == [(size, size) for size in sizes]
    assert most[0] == 2 * IN_FLIGHT  # the one that is larger, alone


def test_work_ahead_whose_size_cannot_be_told_fails_at_its_place():
    def cost(number: int) -> int:
        if number == 3:
            raise OSError("three")
        return IN_FLIGHT

    memory: Memory[int, int] = Memory(cost, lambda number: 0)
    results = ahead_within(lambda number: number, range(9), num_threads=2, num_waiting=4, name="test", memory=memory)
    assert [next(results)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="three"):
        next(results)
