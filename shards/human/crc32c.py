"""CRC-32C (Castagnoli), the checksum of TFRecord files, without a compiled package.

The register is linear over GF(2): a block's checksum is the XOR of one table entry a byte, and two neighbours combine
by moving the left one past the right one's length, which is four table look-ups. Both are done for whole arrays.
Reflected polynomial 0x82F63B78; the checksum of b"123456789" is 0xE3069283 (RFC 3720, appendix B.4).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
BLOCK = 64
"""Bytes of a block; below this length a plain loop is quicker."""
PIECE = 1 << 14
"""Blocks taken at once, 1 MiB: the look-up needs twelve bytes for each of theirs."""

U32 = NDArray[np.uint32]
EMPTY = np.zeros((0, BLOCK), np.uint8)


@cache
def byte_table() -> U32:
    """uint32 [256]: the register after one byte, begun at 0."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


@cache
def byte_list() -> list[int]:
    """The same as Python numbers, for the plain loop."""
    return [int(value) for value in byte_table()]


def one_zero(register: U32) -> U32:
    """Registers after one more zero byte."""
    after: U32 = byte_table()[register & 0xFF] ^ (register >> 8)
    return after


@cache
def place_table() -> U32:
    """uint32 [BLOCK * 256]: entry place * 256 + byte is what that byte adds to its block's checksum."""
    rows = [byte_table()]
    for _ in range(BLOCK - 1):
        rows.append(one_zero(rows[-1]))
    return np.concatenate(rows[::-1])


@cache
def shift_table(level: int) -> U32:
    """uint32 [4, 256]: registers that hold one byte, moved past BLOCK * 2**level zero bytes."""
    if level:
        half = shift_table(level - 1)
        return shift(half, level - 1)
    table = np.stack([np.arange(256, dtype=np.uint32) << np.uint32(8 * place) for place in range(4)])
    for _ in range(BLOCK):
        table = one_zero(table)
    return table


def shift(registers: U32, level: int) -> U32:
    """Any array of registers moved past BLOCK * 2**level zero bytes."""
    table, wide = shift_table(level), registers.astype(np.intp)
    low = look_up(table[0], wide & 0xFF) ^ look_up(table[1], (wide >> 8) & 0xFF)
    return low ^ look_up(table[2], (wide >> 16) & 0xFF) ^ look_up(table[3], wide >> 24)


def look_up(table: U32, places: NDArray[np.intp]) -> U32:
    """table[places], for places known to be inside: "wrap" spares numpy a check that costs more than the rest."""
    return table.take(places, mode="wrap")


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C of any bytes, 0..2**32-1. Memory beside the data is bounded, whatever their length."""
    head = len(data) % BLOCK
    register, table = 0xFFFFFFFF, byte_list()
    for byte in data[:head]:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    rest = np.frombuffer(data, np.uint8, offset=head).reshape(-1, BLOCK) if len(data) > head else EMPTY
    for start in range(0, len(rest), PIECE):
        blocks = rest[start : start + PIECE]
        register = past(register, len(blocks)) ^ blocks_register(blocks)
    return register ^ 0xFFFFFFFF


def past(register: int, num_blocks: int) -> int:
    """A register moved past so many blocks of zeros."""
    moved = np.array([register], np.uint32)
    for level in range(num_blocks.bit_length()):
        if num_blocks >> level & 1:
            moved = shift(moved, level)
    return int(moved[0])


def blocks_register(blocks: NDArray[np.uint8]) -> int:
    """The register, begun at 0, after uint8 [N, BLOCK]."""
    # Blocks lie along the last axis, so that the XOR runs over whole rows.
    starts = np.arange(0, BLOCK * 256, 256, dtype=np.intp)[:, None]
    places = np.add(blocks.T, starts, order="C")
    parts = np.bitwise_xor.reduce(look_up(place_table(), places), axis=0)
    level = 0
    while parts.size > 1:
        if parts.size % 2:
            parts = np.concatenate([np.zeros(1, np.uint32), parts])  # zeros in front change nothing
        parts = shift(parts[0::2], level) ^ parts[1::2]
        level += 1
    return int(parts[0])
