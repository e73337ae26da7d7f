"""Checksums, framing and the wire format, against bytes written by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import richhf_bytes as made

from shards.errors import SourceError
from shards.human.crc32c import crc32c
from shards.human.example import WireError, parse_example
from shards.human.tfrecord import Damage, Frame, read_frames, read_payload


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_of_the_vectors_of_rfc_3720(data, expected):
    assert crc32c(data) == expected
    assert made.bitwise_crc(data) == expected


@pytest.mark.parametrize("length", [1, 4, 63, 64, 65, 127, 128, 129, 191, 192, 1000, 4097])
def test_checksum_of_every_block_layout(length):
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == made.bitwise_crc(data) == made.crc(data)


def write(path, *parts: bytes):
    path.write_bytes(b"".join(parts))
    return path


def test_records_come_in_order_and_can_be_read_again(tmp_path):
    path = write(tmp_path / "a.tfrecord", made.frame(b"one"), made.frame(b""), made.frame(b"three" * 50))
    found = list(read_frames(path))
    assert found == [Frame(0, b"one"), Frame(19, b""), Frame(35, b"three" * 50)]
    assert read_payload(path, 35) == b"three" * 50


def test_a_wrong_data_checksum_costs_one_record(tmp_path):
    path = write(tmp_path / "a.tfrecord", made.frame(b"one"), made.frame(b"two", bad_data=True), made.frame(b"three"))
    first, second, third = read_frames(path)
    assert (first, third) == (Frame(0, b"one"), Frame(38, b"three"))
    assert second == Damage(19, "checksum of the data at byte 19 is wrong (3 bytes)", False)


def test_a_wrong_length_checksum_costs_the_rest(tmp_path):
    parts = [made.frame(b"one"), made.frame(b"two", bad_length=True), made.frame(b"three")]
    found = list(read_frames(write(tmp_path / "a.tfrecord", *parts)))
    lost = "checksum of the length is wrong; 40 bytes from byte 19 on are lost"
    assert found == [Frame(0, b"one"), Damage(19, lost, True)]


@pytest.mark.parametrize(("cut", "word"), [(3, "header (3 of 12 bytes)"), (14, "record (14 of 19 bytes)")])
def test_a_cut_file_keeps_what_came_before(tmp_path, cut, word):
    found = list(read_frames(write(tmp_path / "a.tfrecord", made.frame(b"one"), made.frame(b"two")[:cut])))
    assert found[0] == Frame(0, b"one")
    assert isinstance(found[1], Damage)
    assert found[1].fatal
    assert word in found[1].detail


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else entirely"])
def test_what_is_no_tfrecord_file_is_an_error(tmp_path, content):
    with pytest.raises(SourceError, match=r"a\.tfrecord"):
        list(read_frames(write(tmp_path / "a.tfrecord", content)))


def test_a_file_that_changed_since_is_an_error(tmp_path):
    path = write(tmp_path / "a.tfrecord", made.frame(b"one"))
    write(path, made.frame(b"one", bad_data=True))
    with pytest.raises(SourceError, match="changed while it was read"):
        read_payload(path, 0)


@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_list_packed_and_one_by_one(packed):
    payload = made.example(
        {
            "text": made.bytes_feature(b"a", b"", b"\x00\xff"),
            "floats": made.float_feature(0.5, -2.0, 0.25, packed=packed),
            "ints": made.int_feature(0, 300, -1, -(2**63), 2**63 - 1, packed=packed),
        }
    )
    assert parse_example(payload) == {
        "text": [b"a", b"", b"\x00\xff"],
        "floats": [0.5, -2.0, 0.25],
        "ints": [0, 300, -1, -(2**63), 2**63 - 1],
    }


def test_an_example_spelled_out_in_hex():
    # Example{ Features{ entry{ key "x", value{ float_list{ value 1.0 } } } } }, unpacked float.
    payload = bytes.fromhex("0a0e 0a0c 0a0178 1207 1205 0d0000803f".replace(" ", ""))
    assert parse_example(payload) == {"x": [1.0]}


def test_unknown_fields_are_skipped_and_empty_lists_are_empty():
    entry = made.field(1, b"k") + made.number(9 << 3 | 0) + b"\x05" + made.field(2, made.field(2, b""))
    stranger = made.number(7 << 3 | 1) + bytes(8) + made.number(8 << 3 | 5) + bytes(4)
    assert parse_example(stranger + made.field(1, made.field(1, entry))) == {"k": []}


def test_features_in_two_parts_are_merged_and_a_later_key_wins():
    one = made.field(1, made.field(1, b"k") + made.field(2, made.int_feature(1)))
    two = made.field(1, made.field(1, b"k") + made.field(2, made.int_feature(2)))
    assert parse_example(made.field(1, one) + made.field(1, two)) == {"k": [2]}


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a\x05abc",  # wants five bytes, three are left
        b"\x0a",  # ends inside the length
        b"\x0b",  # a group, which proto3 has not
        b"\x0a" + b"\x80" * 11,  # a number that never ends
        b"\x02\x00",  # field number 0
        made.example({"f": made.field(2, made.field(1, struct.pack("<f", 1.0)[:3]))}),  # three quarters of a float
        made.field(1, made.field(1, made.field(1, b"\xff"))),  # a key that is no UTF-8
        made.example({"f": made.field(2, b"\x08\x01")}),  # an int in a list of floats
    ],
)
def test_what_is_no_message_is_an_error(payload):
    with pytest.raises(WireError):
        parse_example(payload)
