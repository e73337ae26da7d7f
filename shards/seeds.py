"""Chance by name: what is drawn follows from a text alone, never from order, batch or process.

The text names the run's seed, what is drawn and for which picture: "region/0/SHA256/0/1".
"""

from __future__ import annotations

import hashlib

import numpy as np


def named_rng(name: str) -> np.random.Generator:
    """The random stream of a name: PCG64, whose seed is the first 128 bits of the name's sha256."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(name)[:16], "big")))


def named_seed(name: str) -> int:
    """0 .. 2**63 - 1, so that it fits the signed 64-bit integers of JSON readers and of torch."""
    return int.from_bytes(_digest(name)[:8], "big") >> 1


def named_fraction(name: str) -> float:
    """Uniform on 0 .. 1."""
    return int.from_bytes(_digest(name)[:8], "big") / 2.0**64


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
