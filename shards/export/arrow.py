"""Columns of Parquet files from plain values, as Arrow has them in memory.

Written buffer by buffer: `pyarrow.array` goes through a list value by value, and loads pandas where it is installed to
ask whether it is one of its series, which takes longer than some exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def array_of(values: Sequence[Any], kind: Any) -> Any:
    """A pyarrow array of this type: string, binary, int64, float64, bool, or a struct of these.

    values: str, bytes, int, float, bool, or mappings by the struct's fields; None in place of a struct, nothing else.
    """
    import pyarrow as pa

    if pa.types.is_struct(kind):
        there = np.array([value is not None for value in values], bool)
        inner = [array_of(within(values, part), part.type) for part in kind]
        valid = None if there.all() else bits(there)
        return pa.Array.from_buffers(kind, len(values), [valid], children=inner)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        parts: Sequence[bytes] = [one.encode() for one in values] if pa.types.is_string(kind) else values
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(one) for one in parts], out=offsets[1:])
        if offsets[-1] > np.iinfo(np.int32).max:
            raise AssertionError(f"{offsets[-1]} bytes in one row group; Arrow's offsets are of 32 bits")
        data = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(parts))]
        return pa.Array.from_buffers(kind, len(parts), data)
    numbers = np.array(values, kind.to_pandas_dtype())
    packed = bits(numbers) if pa.types.is_boolean(kind) else pa.py_buffer(numbers)
    return pa.Array.from_buffers(kind, len(numbers), [None, packed])


def bits(values: Any) -> Any:
    """A buffer of one bit a value, bool, as Arrow packs them."""
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))


def within(values: Sequence[Any], part: Any) -> list[Any]:
    """One field of each struct; something empty where the struct is not there."""
    import pyarrow as pa

    blank = "" if pa.types.is_string(part.type) else b""
    return [blank if one is None else one[part.name] for one in values]
