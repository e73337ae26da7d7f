"""JSON from outside: equal to `json.loads` on what is JSON, one error of ours on all else."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.errors import ConfigError, MissingInputError, SchemaError
from shards.guard.json_text import RECORD, JsonLimits, parse_json, parse_object, read_json, read_object

SMALL = JsonLimits(max_bytes=1000, max_values=50, max_depth=4)
NUMBERS = st.one_of(st.integers(-(2**64) + 1, 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False))
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=8), inner, max_size=5)),
    max_leaves=20,
)


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 2]))
def test_ordinary_documents_are_read_as_they_were_written(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text, "a") == json.loads(text) == value
    assert parse_json(text.encode(), "a") == value
    assert parse_json(b"\xef\xbb\xbf" + text.encode(), "a") == value


@given(st.one_of(st.binary(max_size=200), st.text('[]{},:"0123456789eE+-.tfnu\\ \n', max_size=60)))
def test_anything_is_a_value_or_our_error(data):
    try:
        value = parse_json(data, "a.json", limits=SMALL)
    except SchemaError as error:
        value = str(error)
        if not value.startswith("a.json: ") or "\n" in value:
            raise
    else:
        assert value == json.loads(data.decode("utf-8-sig") if isinstance(data, bytes) else data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "out of range"),
        ("18446744073709551616", "64 bits"),
        ("-" + "9" * 5000, "64 bits"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 65 + "]" * 65, "nested deeper than the 64"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested deeper"),
        ("[" + "0," * (1 << 19) + "0]", "values that are read"),
        (b"\xff{}", "utf-8"),
        (b"{}\0", "Extra data"),
        ('{"a": 1', "Expecting"),
        ("", "Expecting value"),
        (" " * (1 << 24) + "1", "bytes"),
    ],
)
def test_what_is_refused(data, words):
    with pytest.raises(SchemaError, match=r"a\.json: ") as found:
        parse_json(data, "a.json")
    assert words in str(found.value)
    assert len(str(found.value)) < 300


@pytest.mark.parametrize("text", ["18446744073709551615", "-18446744073709551615", "1.7976931348623157e308", "-0.0"])
def test_numbers_at_the_edge_are_read(text):
    value = parse_json(text, "a")
    assert value == json.loads(text)
    assert math.isfinite(value)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "9" * 30])
def test_a_lenient_reader_takes_what_is_no_number_for_none(text):
    assert parse_json(f'[{text}, {{"a": {text}}}, 1.5, -2]', "a", lenient=True) == [None, {"a": None}, 1.5, -2]


def test_depth_and_bytes_at_the_edge_are_read():
    assert parse_json("[" * 64 + "]" * 64, "a") == json.loads("[" * 64 + "]" * 64)
    assert parse_json(" " * (RECORD.max_bytes - 1) + "1", "a") == 1
    with pytest.raises(SchemaError, match="bytes; at most 16777216 are read"):
        parse_json(" " * RECORD.max_bytes + "1", "a")


def test_the_error_is_of_the_kind_asked_for():
    with pytest.raises(ConfigError):
        parse_json("{", "a", error=ConfigError)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"'])
def test_only_an_object_will_do(text, tmp_path):
    with pytest.raises(SchemaError, match="object of named values"):
        parse_object(text, "a")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SchemaError, match="object of named values"):
        read_object(tmp_path / "a.json")


def test_files_that_are_missing_or_no_files_are_one_error(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        read_json(tmp_path / "a.json")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "a.json" / "b", tmp_path / "n\0ul"):
        (tmp_path / "a.json").touch()
        with pytest.raises(SchemaError, match="cannot be read"):
            read_json(path)
    (tmp_path / "a.json").write_bytes(b"1" * 2000)
    with pytest.raises(SchemaError, match="at most 1000 are read"):
        read_json(tmp_path / "a.json", limits=SMALL)
