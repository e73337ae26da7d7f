"""Markdown tables, cell by cell."""

from __future__ import annotations

import pytest

from shards.markdown import table

HEAD, ROWS = ("kind", "n"), [("cat", "12"), ("dormouse", "3")]


def test_plain():
    assert table(HEAD, ROWS) == "| kind | n |\n| --- | --- |\n| cat | 12 |\n| dormouse | 3 |"


def test_numbers_are_flush_right():
    assert table(HEAD, ROWS, numbers=True).splitlines()[1] == "| --- | ---: |"


def test_aligned():
    assert table(HEAD, ROWS, aligned=True).splitlines() == [
        "| kind     | n  |",
        "| -------- | -- |",
        "| cat      | 12 |",
        "| dormouse | 3  |",
    ]


def test_a_row_that_is_too_short_is_a_mistake_of_ours():
    with pytest.raises(IndexError):
        table(HEAD, [("cat",)], aligned=True)
