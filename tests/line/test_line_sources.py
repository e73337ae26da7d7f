"""The line over tars of which some are chosen, and over shards of our own."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from line_tools import tree
from PIL import Image

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from shards.check import check_run
from shards.reader import ShardReader

ConfigOf = Callable[..., LineConfig]


def write_tar(path: Path, numbers: range) -> None:
    """Pictures of 48x40, every third of 96x40; JPEG and PNG in turn, with captions as text or list."""
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            size = (96 if number % 3 == 0 else 48, 40)
            buffer = io.BytesIO()
            Image.new("RGB", size, (number * 9, 80, 200)).save(buffer, "PNG" if number % 2 else "JPEG")
            record: dict[str, Any] = {"short_caption2": [f"car {number}"] if number % 2 else f"car {number}"}
            members = {"json": json.dumps(record).encode(), "png" if number % 2 else "jpg": buffer.getvalue()}
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{number:04d}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_tars_of_which_some_are_chosen(config_of: ConfigOf, tmp_path: Path):
    write_tar(tmp_path / "data-0.tar", range(8))
    write_tar(tmp_path / "data-1.tar", range(8, 16))
    options = {
        "tars": str(tmp_path / "data-{0..1}.tar"),
        "caption_keys": ["short_caption2"],
        "select": {"count": 6, "seed": 2, "max_aspect": 2.0},
    }
    config = config_of(source={"name": "webdataset", "options": options})
    words = make_shards(config, tmp_path / "run")
    assert check_run(tmp_path / "run").problems == []
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    numbers = manifest["source"]["selection"]
    left = [json.loads(line) for line in (tmp_path / "run" / "left_out.jsonl").read_text().splitlines()]
    assert (numbers["listed"], numbers["chosen"], numbers["left_out"]) == (16, 6, {"aspect": len(left)})
    assert len(left) > 0
    assert {int(one["uri"][-4:]) % 3 for one in left} == {0}
    assert words.splitlines()[0] == (
        f"6 of 16 pictures chosen; left out: aspect {len(left)}, not drawn {16 - 6 - len(left)}"
    )
    samples = list(ShardReader(tmp_path / "run", cache=False))
    assert [s.meta.source.caption for s in samples] == [f"car {int(s.meta.source.uri[-4:])}" for s in samples]
    assert len({s.meta.source.uri for s in samples}) == 6
    before = tree(tmp_path / "run")
    assert "nothing left to do" in make_shards(config, tmp_path / "run")
    assert tree(tmp_path / "run") == before


def test_our_own_shards_are_damaged_anew_under_their_labels(config_of: ConfigOf, tmp_path: Path):
    make_shards(config_of(), tmp_path / "first")
    first = {s.key: s for s in ShardReader(tmp_path / "first", cache=False)}
    options = {"where": str(tmp_path / "first"), "label": "artifact", "masks": True}
    samples = {"clean_share": 0.0, "sources_per_shard": 4}
    config = config_of(source={"name": "shards", "options": options}, region={"policy": "files"}, samples=samples)
    make_shards(config, tmp_path / "second")
    assert check_run(tmp_path / "second").problems == []
    second = list(ShardReader(tmp_path / "second", cache=False))
    assert len(second) == sum(s.meta.label == "artifact" for s in first.values())
    for sample in second:
        run, _, key = sample.meta.source.uri.partition("#")
        assert run.startswith("first/")
        assert np.array_equal(sample.mask, first[key].mask)
        assert sample.meta.source.caption == first[key].meta.source.caption
    left = [json.loads(line)["reason"] for line in (tmp_path / "second" / "left_out.jsonl").read_text().splitlines()]
    assert left == ["label"] * (len(first) - len(second))
