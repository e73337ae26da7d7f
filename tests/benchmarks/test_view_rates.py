"""The benchmark of the pages in a browser, at its smallest; and where there is none."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import view


def test_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["view", "--out", str(tmp_path / "out")])
    assert view.main() == 2
    assert capsys.readouterr().err == "there is no browser: install one of chromium, chromium-browser, google-chrome\n"


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, view.BROWSERS)), reason="needs Chromium")
def test_the_first_picture_of_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["view", "--n", "6", "--scale", "1", "--rounds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert view.main() == 0
    (row,) = json.loads((tmp_path / "view.json").read_text())["rows"]
    assert 0 < row["first"]["median"] < 60
    assert 0.01 < row["weight"]["median"] < 1.5, "page, script and the six pictures"


def test_a_page_without_pictures_ends(tmp_path: Path):
    program = next(filter(None, map(shutil.which, view.BROWSERS)), "")
    if not program:
        pytest.skip("needs Chromium")
    page = tmp_path / "index.html"
    page.write_text("<p>nothing</p>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "PATIENCE", 1.0)
        with pytest.raises(RuntimeError, match="shows no picture within 1 s"):
            view.look(program, page)
