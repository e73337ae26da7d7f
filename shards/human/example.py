"""The protocol-buffer wire format of tf.train.Example, read by hand: four message types need no generated code.

Example   { Features features = 1 }
Features  { map<string, Feature> feature = 1 }      each entry: key = 1, value = 2
Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3 }, each a repeated `value = 1`, packed or one by one

Nothing is copied but the values themselves, and how many fields and values an Example may have is bounded, so that
memory stays within a few times the bytes read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

Values = list[bytes] | list[float] | list[int]
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3
KINDS = (BYTES_LIST, FLOAT_LIST, INT64_LIST)
MAX_PARTS = 1 << 21
"""Most fields and values of one Example; two maps of 512 x 512 numbers have a quarter of that."""
MAX_FEATURES = 1 << 10


class WireError(ValueError):
    """Bytes that are no such message."""


@dataclass
class Budget:
    """How many more fields and values may be read."""

    left: int = MAX_PARTS

    def spend(self, number: int = 1) -> None:
        """Raises WireError where that was too much."""
        self.left -= number
        if self.left < 0:
            raise WireError(f"more than {MAX_PARTS} fields and values")


def parse_example(payload: bytes) -> dict[str, Values]:
    """Name -> list of its values (bytes, float or int). A feature without a list is []. Raises WireError."""
    found: dict[str, Values] = {}
    budget = Budget()
    for number, wire, features in fields(memoryview(payload), budget):
        if (number, wire) != (1, LENGTH):
            continue
        for inner, inner_wire, entry in fields(as_view(features), budget):
            if (inner, inner_wire) == (1, LENGTH):
                name, values = parse_entry(as_view(entry), budget)
                found[name] = values
                if len(found) > MAX_FEATURES:
                    raise WireError(f"more than {MAX_FEATURES} features")
    return found


def parse_entry(entry: memoryview, budget: Budget) -> tuple[str, Values]:
    """One map entry -> (name, values). A missing key is "", a missing value [], as the format says."""
    name, values = "", []  # type: tuple[str, Values]
    for number, wire, value in fields(entry, budget):
        if (number, wire) == (1, LENGTH):
            try:
                name = bytes(as_view(value)).decode("utf-8")
            except UnicodeDecodeError as error:
                raise WireError(f"a feature's name is no UTF-8: {error}") from error
        elif (number, wire) == (2, LENGTH):
            values = parse_feature(as_view(value), budget)
    return name, values


def parse_feature(feature: memoryview, budget: Budget) -> Values:
    """Feature -> its values; of several lists the last counts (they are alternatives)."""
    values: Values = []
    for number, wire, body in fields(feature, budget):
        if wire == LENGTH and number in KINDS:
            values = parse_list(number, as_view(body), budget)
    return values


def parse_list(kind: int, body: memoryview, budget: Budget) -> Values:
    """BytesList, FloatList or Int64List -> Python values, in order; packed and single values may be mixed."""
    raw: list[bytes] = []
    floats: list[float] = []
    ints: list[int] = []
    for number, wire, value in fields(body, budget):
        if number != 1:
            continue
        if kind == BYTES_LIST and wire == LENGTH:
            raw.append(bytes(as_view(value)))
        elif kind == FLOAT_LIST and wire in (FIXED32, LENGTH):
            floats += unpack_floats(as_view(value), budget)
        elif kind == INT64_LIST and wire in (VARINT, LENGTH):
            ints += [value] if isinstance(value, int) else unpack_varints(value, budget)
        else:
            raise WireError(f"a value of wire type {wire} in a list of kind {kind}")
    return [signed(value) for value in ints] if kind == INT64_LIST else floats if kind == FLOAT_LIST else raw


def fields(message: memoryview, budget: Budget) -> Iterator[tuple[int, int, memoryview | int]]:
    """(field number, wire type, value) in order: an int for a varint, a view for all else. Raises WireError."""
    at = 0
    while at < len(message):
        budget.spend()
        tag, at = varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if wire == VARINT:
            value, at = varint(message, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            length, at = varint(message, at)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise WireError(f"wire type {wire}")
        if at + length > len(message):
            raise WireError(f"field {number} wants {length} bytes, {len(message) - at} are left")
        yield number, wire, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """(value, place behind it). Raises WireError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise WireError("the message ends inside a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise WireError("a number of more than ten bytes")


def unpack_varints(body: memoryview, budget: Budget) -> list[int]:
    """Packed numbers -> unsigned values."""
    values, at = [], 0
    while at < len(body):
        budget.spend()
        value, at = varint(body, at)
        values.append(value)
    return values


def unpack_floats(body: memoryview, budget: Budget) -> list[float]:
    """Little-endian 32-bit floats, one or many. Raises WireError."""
    if len(body) % 4:
        raise WireError(f"{len(body)} bytes are no whole number of floats")
    budget.spend(len(body) // 4)
    return list(struct.unpack(f"<{len(body) // 4}f", body))


def signed(value: int) -> int:
    """64 bits as two's complement."""
    return value - (1 << 64) if value >> 63 else value


def as_view(value: memoryview | int) -> memoryview:
    """Narrow the type after the wire type was looked at."""
    if isinstance(value, int):
        raise WireError("a number where bytes belong")
    return value
