"""Pictures decoded once: the same pixels, from whatever state the file is in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import shards.decoded
from shards.decoded import DecodedShards
from shards.reader import ShardReader

SET = "miniworld/sets/v1/select"


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the samples whose image is decoded."""
    seen: list[int] = []
    decode = ShardReader.image
    monkeypatch.setattr(ShardReader, "image", lambda self, index: seen.append(index) or decode(self, index))
    return seen


def test_a_sample_is_decoded_once_and_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader = ShardReader(SET)
    wanted = {i: (reader.image(i), reader.mask(i)) for i in (0, 3, 97)}
    first, second = DecodedShards(reader, tmp_path / "cache"), DecodedShards(ShardReader(SET), tmp_path / "cache")
    seen = decodings(monkeypatch)
    for i in (97, 3, 0, 3):
        for pictures in (first, second):
            image, mask = pictures.load(i)
            np.testing.assert_array_equal(image, wanted[i][0])
            np.testing.assert_array_equal(mask, wanted[i][1])
    assert seen == [97, 3, 0]


def test_half_a_write_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pictures = DecodedShards(ShardReader(SET), tmp_path)
    wanted = pictures.load(1)[0].copy()
    pictures.load(2)
    with pictures.path.open("r+b") as file:
        file.seek(pictures.record + 1000)
        file.write(b"\x00" * 3000)
    os.truncate(pictures.path, 2 * pictures.record + 7)
    seen = decodings(monkeypatch)
    np.testing.assert_array_equal(pictures.load(1)[0], wanted)
    pictures.load(2)
    assert seen == [1, 2]


def test_what_cannot_be_kept_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader = ShardReader(SET)
    monkeypatch.setattr(shards.decoded, "MOST_BYTES", 1000)
    np.testing.assert_array_equal(DecodedShards(reader, tmp_path / "none").load(5)[0], reader.image(5))
    assert not (tmp_path / "none").exists()
    monkeypatch.undo()
    pictures = DecodedShards(reader, tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    np.testing.assert_array_equal(pictures.load(5)[1], reader.mask(5))


def test_other_shards_have_another_file(tmp_path: Path):
    select, validation = (
        DecodedShards(ShardReader(f"miniworld/sets/v1/{n}"), tmp_path) for n in ("select", "validation")
    )
    assert select.path != validation.path
