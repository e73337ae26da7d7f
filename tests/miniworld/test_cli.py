"""The command line: what it makes, and one line with exit code 2 for what the user can mend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniworld.__main__ import WEIGHTS, main
from miniworld.world.render import render
from miniworld.world.scenes import caption, sample_scene
from shards.source import open_source


def test_render_writes_pictures_captions_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--n", "3", "--seed", "5", "--out", str(tmp_path / "a b")]) == 0
    out = tmp_path / "a b"
    names = [f"000{number}.{ending}" for number in range(3) for ending in ("png", "txt")]
    assert sorted(p.name for p in out.iterdir()) == [*names, "scenes.jsonl"]
    assert (tmp_path / "a b.sheet.png").is_file()
    source = open_source("folder", root=str(out))
    assert [item.uri for item in source] == names[::2]
    assert [item.caption for item in source] == [caption(sample_scene(seed)) for seed in (5, 6, 7)]
    with Image.open(out / "0002.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), render(sample_scene(7)))
    assert [json.loads(line)["seed"] for line in (out / "scenes.jsonl").read_text().splitlines()] == [5, 6, 7]
    assert "3 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["render", "--n", "2", "--seed", "-4"], "scene seed -4 is out of range"),
        (["render", "--n", "2", "--seed", str(2**40 - 1)], "out of range"),
        (["render", "--n", "0"], "--n is 0"),
        (["sample", "--n", "1", "--weights", "nowhere"], "holds no generator"),
        (["sample", "--n", "1", "--steps", "0"], "--steps is 0"),
        (["sets", "--weights", "nowhere"], "holds no generator"),
        (["sets", "--only", "selekt"], "unknown set 'selekt'"),
        (["sets", "--scale", "0"], "--scale is 0"),
        (["sets", "--processes", "0"], "--processes is 0"),
        (["sets", "--steps", "0"], "--steps is 0"),
        (["sheets", "--only", "renderz"], "unknown sheet 'renderz'"),
        (["sheets", "--only", "wild", "--sets", "nowhere"], "holds no wild-test set"),
        (["train", "--minutes", "0"], "--minutes is 0"),
        (["train", "--minutes", "nan"], "--minutes is nan"),
        (["figures", "--faults", "-1"], "--faults is -1"),
        (["train", "--minutes", "1", "--stage", "all"], "--stage is 'all'"),
        (["train", "--minutes", "1", "--device", "abacus"], "--device is 'abacus'"),
        (["train", "--minutes", "1", "--start", "nowhere"], "--start is nowhere, which holds no generator"),
        (["train", "--minutes", "1", "--flow", "--start", "nowhere"], "--start goes without --flow"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    extra = ["--work", str(tmp_path / "work")] if argv[0] == "train" else []
    assert main([*argv, "--out", str(tmp_path / "out"), *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_damaged_generator_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights"
    for path in (p for p in WEIGHTS.rglob("*") if p.is_file()):
        copy = weights / path.relative_to(WEIGHTS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    damaged = weights / "vae" / "diffusion_pytorch_model.safetensors"
    damaged.unlink()
    damaged.write_bytes(b"cut")
    argv = ["sample", "--n", "1", "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert "cannot be read" in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_file_in_the_way_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert main(["render", "--n", "1", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("verb", ["train", "sample", "render", "sets", "sheets", "figures", "balance"])
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"python -m miniworld {verb}" in capsys.readouterr().out
