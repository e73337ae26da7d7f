"""Who has which piece: nothing is lost, nothing is counted twice, and what ends its workers is given up."""

from __future__ import annotations

import random

import pytest

from shards.handout import BUSY_PAUSE, MOST_LOSSES, Handout


def test_pieces_in_order_until_there_are_none():
    handout = Handout([3, 5])
    assert [handout.next("a"), handout.next("b"), handout.next("a")] == [3, 5, None]
    handout.done("a", 3, "facts of 3")
    news = handout.news()
    assert (news.facts, news.waiting, news.unfinished) == (((3, "facts of 3"),), 0, 1)
    assert handout.news().facts == ()


def test_what_a_lost_worker_had_comes_first_in_its_order():
    handout = Handout(range(5))
    for worker in "aab":
        handout.next(worker)
    handout.lost("a")
    assert [handout.next("c") for _ in range(4)] == [0, 1, 3, 4]
    assert handout.news().unfinished == 5


def test_a_worker_that_was_taken_for_lost_counts_once():
    handout = Handout(range(1))
    handout.next("a")
    handout.lost("a")
    handout.done("a", 0, "early")
    assert handout.next("b") is None
    handout.done("b", 0, "late")
    assert handout.news().facts == ((0, "early"),)


def test_a_piece_that_ends_its_workers_is_given_up_and_one_that_is_handed_back_is_not():
    handout = Handout(range(2))
    for number in range(MOST_LOSSES):
        assert handout.news().given_up == ()
        handout.next(f"worker {number}")
        handout.lost(f"worker {number}")
    assert handout.news().given_up == (0,)
    other = Handout(range(1))
    for number in range(2 * MOST_LOSSES):
        other.next(f"worker {number}")
        other.returned(f"worker {number}")
    assert other.news().given_up == ()
    assert other.news().waiting == 1


def test_a_busy_piece_comes_back_after_a_pause():
    now = [0.0]
    handout = Handout(range(1), clock=lambda: now[0])
    handout.busy("a", handout.next("a"))
    assert handout.next("a") is None
    assert handout.news().unfinished == 1
    now[0] = BUSY_PAUSE
    assert handout.next("a") == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_piece_is_finished_exactly_once(seed: int):
    draw = random.Random(seed)
    events = [
        (draw.choice("abc"), draw.choice(["next", "next", "done", "lost", "returned", "busy"])) for _ in range(40)
    ]
    now = [0.0]
    handout = Handout(range(6), clock=lambda: now[0])
    held: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    facts: list[int] = []

    def step(worker: str, event: str) -> None:
        now[0] += 1
        if event == "next":
            piece = handout.next(worker)
            held[worker] += [] if piece is None else [piece]
        elif event in ("done", "busy") and held[worker]:
            piece = held[worker].pop(0)
            getattr(handout, event)(worker, piece)
        elif event in ("lost", "returned"):
            getattr(handout, event)(worker)
            held[worker].clear()
        facts.extend(piece for piece, _ in handout.news().facts)

    for worker, event in events:
        step(worker, event)
    for worker in "abc":
        step(worker, "lost")
    while handout.news().unfinished:
        step("a", "next")
        step("a", "done")
    assert sorted(facts) == list(range(6))
