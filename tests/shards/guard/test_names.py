"""Names from outside as names of files: safe, bounded, the same for the same text, no two alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.guard.names import FORBIDDEN, MAX_NAME_BYTES, RESERVED, distinct_names, file_name

TEXTS = st.text(st.characters(), max_size=300)  # lone surrogates among them
"""Any text, as names of files on disk may be."""
TRICKY = st.text(st.sampled_from("aA./\\ -_~2\0\né\u0301\u202e\udcffß"), max_size=40)


def is_safe(name: str, max_bytes: int = MAX_NAME_BYTES) -> bool:
    return (
        0 < len(name.encode()) <= max_bytes
        and name.isprintable()
        and not FORBIDDEN & set(name)
        and name == name.strip(" .")
        and name.split(".")[0].strip().lower() not in RESERVED
    )


@pytest.mark.parametrize("text", ["a", "00000_00001", "é.jpg", "a b-c", "x" * 150, "con1", "a.con"])
def test_a_safe_name_stays(text):
    assert file_name(text) == text


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("../../up", "_.._up-"),
        ("/abs/path", "_abs_path-"),
        ("a\\b:c", "a_b_c-"),
        ("", "unnamed-"),
        ("...", "unnamed-"),
        (".hidden", "hidden-"),
        ("a\0b", "a_b-"),
        ("con", "_con-"),
        ("AUX.png", "_AUX.png-"),
        ("nul .txt", "_nul .txt-"),
        ("x" * 151, "x" * 139 + "-"),
        ("é" * 76, "é" * 69 + "-"),
        ("\udcff", "_-"),
        ("\u202egpj", "_gpj-"),
    ],
)
def test_an_unsafe_name_is_changed_and_marked(text, begins):
    name = file_name(text)
    assert name.startswith(begins)
    assert len(name) == len(begins) + 10
    assert is_safe(name)


def test_texts_that_differ_only_where_they_are_unsafe_stay_two():
    assert len({file_name(text) for text in ("a/b", "a\\b", "a:b", "a_b", "a\0b")}) == 5
    assert file_name("x" * 151) != file_name("x" * 150 + "y")


@given(st.one_of(TEXTS, TRICKY), st.integers(20, 200))
def test_any_text_gives_one_safe_component_which_stays_as_it_is(text, max_bytes):
    name = file_name(text, max_bytes)
    assert is_safe(name, max_bytes)
    assert file_name(name, max_bytes) == name
    assert file_name(text, max_bytes) == name


@given(
    st.lists(
        st.one_of(TRICKY, st.sampled_from(["a", "A", "a-2", "A-2", "a-3", "ß", "SS", "é", "e\u0301"])), max_size=20
    )
)
def test_names_of_any_texts_are_distinct_in_any_case(texts):
    names = distinct_names(texts)
    assert len(names) == len(texts)
    assert len({unicodedata.normalize("NFC", name.casefold()) for name in names}) == len(texts)
    assert all(map(is_safe, names))


def test_names_that_are_taken_get_a_number():
    assert distinct_names(["a", "b", "A", "a", "a-2"]) == ["a", "b", "A-2", "a-3", "a-2-2"]


def test_many_equal_names_are_quick():
    names = distinct_names(["a"] * 100_000)
    assert len(set(names)) == 100_000
    assert names[-1] == "a-100000"
