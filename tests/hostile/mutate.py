"""Mutations of valid inputs, the same for the same seed: bytes (tars, zips, records, checkpoints) and JSON values."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

BLOCK = 512
NUMBERS = (b"0", b"-1", b"7777777777777777777777", b"\x80" + b"\0" * 3 + b"\xff" * 8, b"\xff" * 12, b" ", b"x", b"1e9")
DEEP = "[" * 20_000 + "]" * 20_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1 << 31, 1 << 63, -(1 << 63), 10**400, 1e308, -0.0, float("nan"), float("inf"), "", "x",
    "\0", "../../up", "/abs", "é\u202e", "\ud800", "9" * 5000, DEEP, [], {}, [[]], [None] * 40, {"": {}}, {"type": "x"},
)  # fmt: skip


def mutated(data: bytes, seed: int, block: int = BLOCK) -> bytes:
    """One to three changes of random kinds: bits, bytes, numbers, whole blocks, a cut, an insertion."""
    rng = np.random.default_rng(seed)
    for _ in range(int(rng.integers(1, 4))):
        data = change_bytes(data, rng, block)
    return data


def change_bytes(data: bytes, rng: np.random.Generator, block: int) -> bytes:
    """One change."""
    if not data:
        return bytes(rng.integers(0, 256, int(rng.integers(0, 2 * block)), dtype=np.uint8))
    at = int(rng.integers(len(data)))
    size = int(rng.integers(1, block))
    kind = int(rng.integers(8))
    if kind == 0:  # one bit
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if kind == 1:  # random bytes
        noise = rng.integers(0, 256, min(size, 16), dtype=np.uint8).tobytes()
        return data[:at] + noise + data[at + len(noise) :]
    if kind == 2:  # a number out of place
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        return data[:at] + number + data[at + len(number) :]
    if kind == 3:  # an early end
        return data[:at]
    if kind == 4:  # something between
        return data[:at] + rng.integers(0, 256, size, dtype=np.uint8).tobytes() + data[at:]
    if kind == 5:  # one value for many bytes
        return data[:at] + bytes([int(rng.choice([0, 255, 32]))]) * size + data[at + size :]
    return swap_blocks(data, rng, block, twice=kind == 6)


def swap_blocks(data: bytes, rng: np.random.Generator, block: int, twice: bool) -> bytes:
    """Two aligned blocks change places, or one takes the other's as well."""
    count = max(1, len(data) // block)
    first, second = (int(number) * block for number in rng.integers(count, size=2))
    one, other = data[first : first + block], data[second : second + block]
    changed = bytearray(data)
    changed[first : first + len(other)] = other
    if not twice:
        changed[second : second + len(one)] = one
    return bytes(changed)


def mutated_json(value: Any, seed: int) -> bytes:
    """A JSON document in which one or two places hold something else, are gone, renamed or doubled; as bytes."""
    rng = np.random.default_rng(seed)
    changed = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 3))):
        holders = [holder for holder in nodes(changed) if holder]
        if not holders:
            break
        change_json(holders[int(rng.integers(len(holders)))], rng)
    text = json.dumps(changed)
    if rng.integers(8) == 0:
        text = text[: int(rng.integers(len(text)))]
    if rng.integers(8) == 0:
        text = text.replace('"', str(rng.choice(["'", '"\\u0000', "\x01"])), 1)
    return (DEEP if rng.integers(40) == 0 else text).encode("utf-8", "surrogatepass")


def change_json(holder: Any, rng: np.random.Generator) -> None:
    """Change one item of a list or an object."""
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = keys[int(rng.integers(len(keys)))]
    if rng.integers(4) == 0:
        item = holder.pop(key)
        if isinstance(holder, dict) and rng.integers(2):
            holder[str(key) + "2"] = item
    else:
        holder[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])


def nodes(value: Any) -> list[Any]:
    """All lists and objects of a document."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, (dict, list)) else []
    return own + [node for item in inner for node in nodes(item)]
