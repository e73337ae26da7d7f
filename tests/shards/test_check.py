"""The checker finds what was planted; the command line says it in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_reader import rewrite

from shards.__main__ import main
from shards.check import check_run
from shards.schema import encode_image
from shards.show import HEADER, choose, contact_sheet, outline


def test_a_sound_run(finished_run, capsys):
    assert main(["check", str(finished_run)]) == 0
    assert capsys.readouterr().out == "ok: 8 samples (3 artifact, 5 clean) in 2 shards, 2 rejects\n"


def edited_json(**values):
    return lambda n, d: json.dumps({**json.loads(d), **values}).encode() if n.endswith("1_00002.json") else d


FULL = encode_image(np.full((32, 32), 255, np.uint8), "png")
ODD = encode_image(np.full((32, 32), 7, np.uint8), "png")
SMALL = encode_image(np.zeros((8, 8), np.uint8), "png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d: None if n.endswith("1_00002.mask.png") else d, "member mask.png is missing"),
        (lambda n, d: FULL if n.endswith("1_00002.mask.png") else d, "JSON says"),
        (lambda n, d: ODD if n.endswith("1_00002.mask.png") else d, r"holds the values \[7\]"),
        (lambda n, d: SMALL if n.endswith("1_00002.mask.png") else d, "but mask"),
        (lambda n, d: d[:50] if n.endswith("1_00002.webp") else d, "cannot be decoded"),
        (edited_json(seed="x"), "seed must be int"),
        (edited_json(label="clean"), "label is 'clean'"),
    ],
)
def test_planted_faults_are_found(finished_run, change, message):
    rewrite(finished_run / "shards/00001.tar", change)
    problems = check_run(finished_run).problems
    assert any("sha256 differs" in problem for problem in problems)
    import re

    assert any(re.search(f"00001_00002.*{message}", problem) for problem in problems), problems


def test_missing_extra_and_unfinished(finished_run, tmp_path, run_maker, capsys):
    (finished_run / "shards/00000.tar").rename(finished_run / "shards/00007.tar")
    (finished_run / "rejects.jsonl").unlink()
    assert main(["check", str(finished_run)]) == 1
    text = capsys.readouterr().out
    for line in (
        "00000.tar: named in manifest.json but not there",
        "00007.tar: not named",
        "0 lines, manifest.json states 2",
    ):
        assert line in text
    run_maker(tmp_path / "half", finalise=False)
    assert "not finished" in check_run(tmp_path / "half").problems[0]


def test_wrong_input_is_one_line_and_exit_two(tmp_path, finished_run):
    for arguments in (["check", str(tmp_path / "no")], ["show", str(finished_run), "--out", "x.png", "--n", "0"]):
        done = subprocess.run([sys.executable, "-m", "shards", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_the_command_line_is_frozen(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "check" in shown
    assert "blemish show out/miniworld --out sheet.png --n 16" in shown


def test_outline_is_the_inner_edge():
    mask = np.zeros((5, 5), np.uint8)
    mask[1:4, 1:4] = 1
    edge = outline(mask, 1)
    assert edge.sum() == 8
    assert not edge[2, 2]


def test_the_sheet_shows_source_outline_and_damage(sample):
    one = sample(0, 1)
    sheet = contact_sheet([one], columns=1, side=32)
    sheet = sheet[HEADER:]
    assert np.array_equal(sheet[6:38, 6:38], one.source)
    marked, broken = sheet[6:38, 44:76], sheet[6:38, 82:114]
    assert np.array_equal(broken, one.image)
    assert ((marked != one.source).any(axis=2) == outline(one.mask, 1)).mean() > 0.99


def test_show_writes_a_png_also_without_twins_and_with_any_caption(finished_run, sample, tmp_path):
    out = tmp_path / "sub" / "sheet.png"
    assert main(["show", str(finished_run), "--out", str(out), "--n", "3"]) == 0
    assert Image.open(out).format == "PNG"
    import dataclasses

    one = sample(0, 1)
    source = dataclasses.replace(one.meta.source, caption="猫 " * 200 + "\n\ud800")
    bare = dataclasses.replace(one, source=None, meta=dataclasses.replace(one.meta, source=source))
    assert contact_sheet([bare, bare, bare]).dtype == np.uint8
    assert choose(10, 3) == [0, 4, 9]
    assert choose(0, 3) == []
    assert os.listdir(out.parent) == ["sheet.png"]
