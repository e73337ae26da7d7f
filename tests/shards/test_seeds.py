"""Streams and numbers by name: values that samples already written rest on."""

from __future__ import annotations

import hashlib

import numpy as np

from shards.seeds import named_fraction, named_rng, named_seed

NAME = "abc"
"""sha256 begins ba7816bf 8f01cfea 414140de 5dae2223."""


def test_all_follow_from_the_first_bytes_of_the_name_s_sha256():
    assert hashlib.sha256(NAME.encode()).hexdigest().startswith("ba7816bf8f01cfea414140de5dae2223")
    assert named_seed(NAME) == 0xBA7816BF8F01CFEA >> 1
    assert named_fraction(NAME) == 0xBA7816BF8F01CFEA / 2**64
    stream = np.random.Generator(np.random.PCG64(0xBA7816BF8F01CFEA414140DE5DAE2223))
    assert named_rng(NAME).integers(0, 1 << 40, 8).tolist() == stream.integers(0, 1 << 40, 8).tolist()


def test_names_that_differ_in_one_letter_have_nothing_in_common():
    assert named_rng("region/0/a/0/0").random() != named_rng("region/0/a/0/1").random()
    assert named_seed("a") != named_seed("b")
