"""Pairs of one caption, and what is counted over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.agreement.__main__ import main
from experiments.agreement.pictures import content_pairs, prefer
from experiments.agreement.scores import Method, read_method
from miniworld.world.scenes import content_of
from shards.errors import ConfigError
from shards.reader import ShardReader

SET = "miniworld/sets/v1/select"
DETECTOR = "region_select/weights/swin_mini.safetensors"


def test_the_smaller_faulty_area_is_preferred():
    areas = {"a": 3, "b": 7, "c": 3}
    assert prefer(areas, "a", "b") == "a"
    assert prefer(areas, "b", "c") == "c"
    assert prefer(areas, "a", "c") == "tie"


def test_methods_are_named_with_weights_and_threshold():
    assert read_method("detector", "ours=x/w.safetensors") == Method("detector", "ours", Path("x/w.safetensors"), 0.5)
    assert read_method("pal", "a b=w@0.25").threshold == 0.25
    for wrong in ("w.safetensors", "=w", "a=", "a=w@2", "a=w@x"):
        with pytest.raises(ConfigError, match="NAME=WEIGHTS"):
            read_method("detector", wrong)


def test_a_small_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [
        "--pairs",
        "caption",
        "--captions",
        "3",
        "--set",
        SET,
        "--steps",
        "2",
        "--ties",
        "--processes",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--detector", f"ours={DETECTOR}"]) == 0
    table = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        "chance", "ours: PAR", "ours: mean heat", "sharpness",
    ]  # fmt: skip
    told = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert [one["pairs"] for one in told["scores"]] == [3, 3, 3]
    areas = json.loads((tmp_path / "out" / "areas.json").read_text())
    assert len(areas) == 3
    assert all(area > 0 for area in areas.values())  # two steps draw nothing whole
    pictures = sorted((tmp_path / "out" / "pictures").glob("*.png"))
    assert len({path.read_bytes() for path in pictures}) == len(pictures) == 6  # the second sample is another picture
    assert (tmp_path / "out" / "agreement.png").read_bytes().startswith(b"\x89PNG")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").iterdir()}
    assert main([*words, "--detector", f"ours={DETECTOR}", f"again={DETECTOR}@0.3"]) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_pairs_of_the_same_content_hold_each_picture_once():
    made, reader = content_pairs(SET), ShardReader(SET)
    content = {reader.key(i): content_of(reader.meta(i).source.caption) for i in range(len(reader))}
    assert all(content[a] == content[b] for a, b in made.keys)
    used = [key for pair in made.keys for key in pair]
    assert len(set(used)) == len(used) > 50
    assert made.areas == {reader.key(i): int((reader.mask(i) == 1).sum()) for i in range(len(reader))}


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--pairs", "caption", "--set", SET, "--captions", "101", "--out", str(tmp_path / "out")]) == 2
    assert "--captions is 101" in capsys.readouterr().err
    assert main(["--detector", f"ours={DETECTOR}", f"ours={DETECTOR}", "--out", str(tmp_path / "out")]) == 2
    assert "two methods have one name" in capsys.readouterr().err
