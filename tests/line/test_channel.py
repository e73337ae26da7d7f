"""The hand-over between threads: bounded, and no side waits for one that has failed."""

from __future__ import annotations

import contextlib
import threading

import pytest

from corruptor.line.channel import Channel


def test_things_arrive_in_order_and_then_it_ends():
    channel: Channel[int] = Channel(2)

    def give() -> None:
        for number in range(50):
            channel.put(number)
        channel.close()

    thread = threading.Thread(target=give)
    thread.start()
    assert list(channel) == list(range(50))
    thread.join()


def test_no_more_than_its_size_waits():
    channel: Channel[int] = Channel(3)
    given: list[int] = []

    def give() -> None:
        with contextlib.suppress(RuntimeError):  # of the end of this test
            for number in range(10):
                channel.put(number)
                given.append(number)

    thread = threading.Thread(target=give, daemon=True)
    thread.start()
    thread.join(0.2)
    assert given == [0, 1, 2]
    taker = iter(channel)
    next(taker)
    thread.join(0.2)
    assert given == [0, 1, 2, 3]
    channel.fail(RuntimeError("enough"))
    thread.join(5)
    assert not thread.is_alive()


def test_an_error_reaches_a_waiting_taker_and_a_waiting_giver():
    empty: Channel[int] = Channel(1)
    threading.Timer(0.05, lambda: empty.fail(OSError("disk full"))).start()
    with pytest.raises(OSError, match="disk full"):
        next(iter(empty))
    full: Channel[int] = Channel(1)
    full.put(1)
    threading.Timer(0.05, lambda: full.fail(OSError("disk full"))).start()
    with pytest.raises(OSError, match="disk full"):
        full.put(2)
    with pytest.raises(OSError, match="disk full"):
        full.check()
