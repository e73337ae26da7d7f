"""Page headers against those that pyarrow writes, and against bytes written by hand."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.guard.parquet_pages import Page, PageDamage, pages

# PageHeader{1: type 0, 2: unpacked 300, 3: packed 4, 5: DataPageHeader{1: values 7, 2: encoding 0}} and four bytes.
BY_HAND = bytes.fromhex("1500 15d804 1508 2c 150e 1500 00 00".replace(" ", "")) + b"data"


def reader(data: bytes):
    return lambda offset, size: data[offset : offset + size]


def test_a_header_written_by_hand():
    data = b"PAR1" + BY_HAND + BY_HAND
    assert list(pages(reader(data), 4, 2 * len(BY_HAND))) == [Page(4, 300, 7, False)] * 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (BY_HAND[:-1], "beyond its column"),
        (BY_HAND[:6], "has no end"),
        (bytes.fromhex("1500 15d704 1508 00".replace(" ", "")), "sizes"),  # below zero
        (bytes.fromhex("1500 00"), "sizes"),
        (b"\x2c" * 50, "nested deeper"),
        (b"\x15" + b"\xff" * 20, "more than ten bytes"),
        (b"\x19\x00", "kind 9"),
    ],
)
def test_damage_is_named(data, words):
    with pytest.raises(PageDamage, match=words):
        list(pages(reader(data), 0, len(data)))


@given(st.binary(max_size=80))
def test_any_bytes_are_pages_or_damage(data):
    try:
        for page in pages(reader(data), 0, len(data)):
            assert min(page.packed, page.unpacked, page.num_values) >= 0
    except PageDamage:
        pass


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_pages_as_pyarrow_writes_them(version, dictionary):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    rows = [[f"text {number % 50}" * 20] * (number % 3) for number in range(9000)]
    pq.write_table(
        pa.table({"a": rows}), buffer, data_page_version=version, use_dictionary=dictionary, data_page_size=4096
    )
    data = buffer.getvalue()
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    found = list(pages(reader(data), start, column.total_compressed_size))
    assert found[0].repeats == dictionary
    assert sum(page.num_values for page in found[dictionary:]) == column.num_values
    headers = column.total_compressed_size - sum(page.packed for page in found)
    assert column.total_uncompressed_size - sum(page.unpacked for page in found) == headers
