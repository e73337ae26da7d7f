"""Our own shards as a source."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from shards.errors import ConfigError, MissingInputError
from shards.reader import ShardReader
from shards.source import Reject, SourceItem, open_source


def test_every_sample_becomes_an_item(finished_run: Path):
    reader = ShardReader(finished_run, cache=False)
    source = open_source("shards", where=str(finished_run), licence="MIT")
    assert len(source) == len(reader) == 8
    for index, sample in enumerate(reader):
        item = source[index]
        assert isinstance(item, SourceItem)
        assert np.array_equal(item.image, sample.image)
        assert item.uri == f"run/{sample.key[:5]}.tar#{sample.key}"
        assert item.sha256 == hashlib.sha256(reader.member(index, "webp")).hexdigest()
        assert (item.caption, item.set_name) == (sample.meta.source.caption, sample.meta.source.set)
        assert (item.licence, item.mask) == ("MIT", None)
    assert source.name == reader.meta(0).source.set
    assert "selection" not in source.describe()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()


def test_labels_choose_and_come_along(finished_run: Path):
    reader = ShardReader(finished_run, cache=False)
    labels = [reader.meta(index).label for index in range(len(reader))]
    assert set(labels) == {"clean", "artifact"}
    broken = open_source("shards", where=[str(finished_run)], label="artifact", masks=True)
    assert len(broken) == labels.count("artifact")
    assert broken.selection()["left_out"] == {"label": labels.count("clean")}
    first = labels.index("artifact")
    assert np.array_equal(broken[0].mask, reader.mask(first))
    area = reader.meta(first).mask.area
    few = open_source("shards", where=str(finished_run), max_area=area / 2)
    assert len(few) == sum(reader.meta(index).mask.area <= area / 2 for index in range(len(reader)))
    assert {one.reason for one in few.left_out()} == {"high_par"}


def test_it_draws_as_the_others_do(finished_run: Path):
    source = open_source("shards", where=str(finished_run), select={"count": 3, "max_aspect": 1.0})
    assert len(source) == 3
    assert all(not isinstance(item, Reject) for item in source)


def test_what_cannot_be_used(tmp_path: Path, finished_run: Path):
    with pytest.raises(MissingInputError):
        open_source("shards", where=str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="max_area is 2"):
        open_source("shards", where=str(finished_run), max_area=2)
    with pytest.raises(ConfigError, match="missing option 'where'"):
        open_source("shards")
