"""A folder for one piece of work: the same goes on, another is refused, two at once are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards.claims import Claim
from shards.errors import OutputError, ResumeError, SourceError


def claim(out: Path, seed: int = 0, **more) -> Claim:
    return Claim(out, "job.json", {"seed": seed, "sizes": (1, 2)}, "job", **more)


def files(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_the_same_work_goes_on_and_the_lock_goes_with_the_block(tmp_path):
    out = tmp_path / "new" / "folder"
    assert not claim(out).is_begun()
    assert not out.parent.exists()
    with claim(out).held():
        assert files(out) == [".lock", "job.json"]
    assert files(out) == ["job.json"]
    assert json.loads((out / "job.json").read_text()) == {"seed": 0, "sizes": [1, 2]}
    assert claim(out).is_begun()
    (out / "work.txt").write_text("ours by now")
    with claim(out).held():
        pass


def test_other_work_is_named_and_nothing_is_touched(tmp_path):
    with claim(tmp_path).held():
        pass
    before = (tmp_path / "job.json").read_bytes()
    with pytest.raises(ResumeError, match=r"holds another job \(seed: 0 there, 7 now\); choose another folder"):
        claim(tmp_path, 7).held().__enter__()
    assert files(tmp_path) == ["job.json"]
    assert (tmp_path / "job.json").read_bytes() == before


def test_other_files_are_refused_unless_they_may_be_there(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ResumeError, match=r"holds other files \(thesis.tex\)"):
        claim(tmp_path).is_begun()
    assert not claim(tmp_path, alone=False).is_begun()


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": NaN}'])
def test_a_damaged_record_is_an_error_of_the_caller_s_kind(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(SourceError, match=r"job.json is damaged .*; delete it, or name another --work folder"):
        claim(tmp_path, error=SourceError, hint="name another --work folder").is_begun()


def test_two_at_once_are_refused_and_the_second_may_come_after(tmp_path):
    first, second = claim(tmp_path), claim(tmp_path)
    with first.held(), pytest.raises(ResumeError, match="another job is at work there"):
        second.take()
    with second.held():
        assert second.is_begun()


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        claim(tmp_path / "out").take()


def test_a_lock_left_by_a_killed_process_keeps_nobody_out(tmp_path):
    (tmp_path / ".lock").touch()
    with claim(tmp_path).held():
        pass
    assert files(tmp_path) == ["job.json"]
