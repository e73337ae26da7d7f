"""Repair judged by the oracle, and what a repair that knew the truth could reach."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from applications.repair.options import FillOptions, RepairOptions
from experiments.repair import ceiling, examples, seen, telling
from experiments.repair.__main__ import parser, run
from experiments.repair.study import Arm, Picture, Study, in_percent, row_of
from shards.errors import ConfigError
from shards.images import decode_image, encode_image

SET = "miniworld/sets/v1/select"


def test_shares_are_over_pictures_and_means_over_seeds():
    pictures = [
        Picture("a", 1, True, frozenset({"sign"})),
        Picture("b", 2, True, frozenset({"face"})),
        Picture("c", 3, True, frozenset({"car"})),
        Picture("d", 4, False, frozenset({"sign"})),
    ]
    seeds = [
        {"after": [True, False, True, True], "changed": [True] * 4, "par_before": 0.2, "par_after": 0.1},
        {"after": [True, False, False, False], "changed": [False] * 4, "par_before": 0.2, "par_after": 0.1},
    ]
    row = row_of(Arm("x", RepairOptions(), FillOptions()), pictures, seeds)
    assert row["fixed"][0] == pytest.approx(0.5)
    assert row["fixed_no_sign"][0] == pytest.approx(0.75)
    assert row["fixed_sign"][0] == 0
    assert row["gained"][0] == pytest.approx(0.5)
    assert row["signs"] == 1
    assert in_percent((0.1, 0.0, 0.5)) == pytest.approx((10, 0, 50))


def test_a_small_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--set", SET, "--faulty", "2", "--clean", "1", "--seeds", "1", "--steps", "2", "--rounds", "1"]
    words += ["--zoom", "1.5", "whole", "--dtype", "bfloat16", "--processes", "1", "--out", str(tmp_path / "out")]
    assert run(parser().parse_args(words)) == 0
    first = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in first.splitlines()[2:4]] == ["zoom 1.5", "zoom whole"]
    told = json.loads((tmp_path / "out" / "study.json").read_text())
    assert all(0 <= row["fixed"][0] <= 1 for row in told["rows"])
    assert (tmp_path / "out" / "study.png").read_bytes().startswith(b"\x89PNG")
    assert run(parser().parse_args(words)) == 0
    assert capsys.readouterr().out == first


def test_examples_are_the_first_of_each_outcome(tmp_path: Path):
    seen = [(True, False, True), (True, True, True), (False, True, True), (True, True, False), (False, False, True)]
    fates = [examples.outcome(*one) for one in seen]
    assert fates == ["mended", "changed, still broken", "was whole, is broken", "", ""]
    assert examples.choose(["", fates[2], *fates[:1] * 5, fates[1]]) == [2, 3, 4, 5, 7, 1]
    for name in ("originals", "done/pictures", "done/masks", "done/changed"):
        (tmp_path / name).mkdir(parents=True)
    white, black = np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8)
    (tmp_path / "originals" / "a.png").write_bytes(encode_image(white, "png"))
    (tmp_path / "done" / "pictures" / "a.png").write_bytes(encode_image(black, "png"))
    for name in ("masks", "changed"):
        (tmp_path / "done" / name / "a.png").write_bytes(encode_image(black[..., 0], "png"))
    sheet = tmp_path / "sheet.webp"
    examples.write_examples(sheet, tmp_path / "originals", tmp_path / "done", ["a"], ["mended"])
    shown = decode_image(sheet.read_bytes())
    middle = shown[shown.shape[0] // 2]
    assert middle[100].min() > 250  # before
    assert middle[-100].max() < 5  # after
    examples.write_examples(sheet, tmp_path / "originals", tmp_path / "done", ["a"], [""])
    assert not sheet.exists()


def test_seeds_side_by_side_are_those_of_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [
        "--set",
        SET,
        "--faulty",
        "2",
        "--clean",
        "1",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--rounds",
        "1",
        "--zoom",
        "whole",
    ]
    found = []
    for processes in ("1", "2"):
        assert run(parser().parse_args([*words, "--processes", processes, "--out", str(tmp_path / processes)])) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    one, two = (sorted((tmp_path / processes / "arms").rglob("*.png")) for processes in ("1", "2"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    lines = [
        json.loads(line) for path in (tmp_path / "2").rglob("repair.jsonl") for line in path.read_text().splitlines()
    ]
    assert len(lines) == 6
    assert any(line["attempts"] for line in lines)


def test_each_seed_its_detector():
    def study(detectors: str, *thresholds: float) -> Study:
        return Study("set", tuple(map(Path, detectors)), thresholds, "inpainter", 1, 1, 2)

    assert [study("a", 0.1).seen_by(seed) for seed in (0, 1)] == [(Path("a"), 0.1)] * 2
    assert [study("ab", 0.1, 0.2).seen_by(seed) for seed in (0, 1)] == [(Path("a"), 0.1), (Path("b"), 0.2)]
    assert study("ab", 0.1).seen_by(1) == (Path("b"), 0.1)
    for wrong in (("abc", 0.1), ("a", 0.1, 0.2)):
        with pytest.raises(ConfigError, match="one for all seeds or one for each"):
            study(*wrong)


def test_a_mask_that_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--set", SET, "--pictures", "2", "--attempts", "2", "--zoom", "whole", "--steps", "2", "--processes", "1"]
    assert ceiling.main([*words, "--out", str(tmp_path / "out")]) == 0
    first = capsys.readouterr().out
    areas = json.loads((tmp_path / "out" / "ceiling.json").read_text())["after"]["zoom whole, dilation 10"]
    assert np.array(areas).shape == (2, 2)
    files = sorted((tmp_path / "out" / "attempts").rglob("*.png"))
    assert len(files) == 4
    assert files[0].read_bytes() != files[2].read_bytes()  # another seed
    assert ceiling.main([*words, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == first


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert ceiling.main(["--attempts", "0", "--out", str(tmp_path)]) == 2
    assert "--attempts" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--dtype is 'half'"):
        run(parser().parse_args(["--dtype", "half", "--out", str(tmp_path / "out")]))


def test_what_is_marked_by_hand(capsys: pytest.CaptureFixture[str]):
    truth, marked = np.zeros((3, 2, 2), bool), np.zeros((3, 2, 2), bool)
    truth[0, 0] = truth[1, 0, 0] = marked[0, :, 0] = marked[2, 0, 0] = True
    assert seen.figures(marked, truth) == ("2", "50.0%", "33.3%", "33.3%", "1", "100.0%")
    assert seen.figures(marked[2:], truth[2:])[:4] == ("0", "n/a", "n/a", "0.0%")
    assert seen.main(["region_select/weights/swin_mini.safetensors", "--set", SET, "--threshold", "0.5"]) == 0
    assert "with a sign" in capsys.readouterr().out
    assert seen.main(["nowhere.safetensors", "--threshold", "1.5"]) == 2
    assert "--threshold is [1.5]" in capsys.readouterr().err


def test_whether_mended_attempts_are_told_apart_by_hand():
    left = np.array([[0.2, 0.9, 0.5], [0.6, 0.5, 0.5]])
    among = np.array([[True, True, False], [True, True, False]])
    mended = np.array([[True, False, True], [False, True, True]])
    # Mended: 0.2 and 0.5; not: 0.9 and 0.6. All four pairs are in order.
    assert telling.told_apart(left, among, mended) == 1
    assert telling.told_apart(1 - left, among, mended) == 0
    assert telling.told_apart(np.ones_like(left), among, mended) == 0.5
    attempts = [{"area": [0, 5, -1], "mass": [1.0, 4.5, 1.0]}, {"area": [3, 0, -1], "mass": [3.0, 2.5, 1.0]}]
    text = telling.as_table(np.array([5.0, 5.0, 2.0]), attempts, np.array([True, True, True]))
    cells = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in text.splitlines()[2:8]}
    assert cells["faulty pictures in which something is marked"].startswith("66.7%")
    assert cells["mended by one attempt"].startswith("33.3%")
    assert cells["mended by one of 2"].startswith("66.7%")
    assert cells["AUROC of that share"] == "100.0%"


def test_attempts_under_a_detectors_own_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["region_select/weights/swin_mini.safetensors", "--set", SET, "--pictures", "3", "--attempts", "2"]
    words += ["--steps", "2", "--processes", "1", "--out", str(tmp_path / "out")]
    assert telling.main(words) == 0
    first = capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "telling.json").read_text())["attempts"]
    assert [len(one["area"]) for one in told] == [3, 3]
    assert telling.main(words) == 0
    assert capsys.readouterr().out == first
    assert telling.main([*words, "--pictures", "0"]) == 2
