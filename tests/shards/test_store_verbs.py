"""The commands that look at a run, on one in an S3 server: they say and write what they do of the local run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3_server import FaultyServer, backend, upload

from shards.__main__ import main
from shards.check import check_run
from shards.errors import SourceError
from shards.store_claim import CLAIM
from shards.stores import Address, ObjectStore

RUN = "s3://bucket/run"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    found = capsys.readouterr()
    return code, found.out, found.err


def test_check_finds_nothing_wrong_with_the_same_bytes(stored: Path, capsys: pytest.CaptureFixture[str]):
    assert said(capsys, "check", RUN) == said(capsys, "check", str(stored))
    assert said(capsys, "check", f"{RUN}/shards/00001.tar") == said(capsys, "check", f"{stored}/shards/00001.tar")


def damage(key: str, change: Callable[[bytearray], None]) -> None:
    """Other bytes in the store, by way of the server's own memory."""
    found = backend().buckets["bucket"].keys[key]
    data = bytearray(found.value)
    change(data)
    found.value = bytes(data)


def flip(data: bytearray) -> None:
    data[5000] ^= 255


@pytest.mark.parametrize("cached", [False, True])
def test_check_finds_a_corrupted_shard(
    cached: bool, stored: Path, reading: FaultyServer, capsys: pytest.CaptureFixture[str]
):
    if cached:  # what this machine has kept of the store is no witness
        from shards.reader import ShardReader

        ShardReader(RUN).fetch()
    damage("run/shards/00001.tar", flip)
    report = check_run(RUN)
    assert "shards/00001.tar: sha256 differs from manifest.json" in report.problems
    data = bytearray((stored / "shards/00001.tar").read_bytes())
    flip(data)
    (stored / "shards/00001.tar").write_bytes(data)
    local = check_run(stored).problems
    assert report.problems == [one.replace(f"{stored}/", f"{RUN}/") for one in local]


def test_check_names_what_is_missing_and_stops_where_it_cannot_look(
    stored: Path, reading: FaultyServer, capsys: pytest.CaptureFixture[str]
):
    del backend().buckets["bucket"].keys["run/shards/00000.tar"]
    code, out, _ = said(capsys, "check", RUN)
    assert code == 1
    assert "shards/00000.tar: named in manifest.json but not there" in out
    reading.fault = lambda method, path, query: "error" if path.endswith(".tar") else ""
    with pytest.raises(SourceError, match="the store cannot be reached"):
        check_run(RUN)
    code, _, err = said(capsys, "check", RUN)
    assert (code, err.count("\n")) == (2, 1)


def test_show_draws_the_same_sheet(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for words in ([], ["--keys", "00001_00002", "00000_00001"], ["--n", "3"]):
        for where, name in ((RUN, "remote.png"), (str(stored), "local.png")):
            assert said(capsys, "show", where, "--out", str(tmp_path / name), *words)[0] == 0
        assert (tmp_path / "remote.png").read_bytes() == (tmp_path / "local.png").read_bytes()


@pytest.mark.parametrize("finished", [True, False])
def test_view_writes_the_same_page_to_a_local_folder(
    finished: bool, reading: FaultyServer, run_maker: Callable[..., Any], tmp_path: Path, capsys: Any
):
    run_maker(tmp_path / "made", finalise=finished)
    upload(tmp_path / "made", "seen")
    assert said(capsys, "view", str(tmp_path / "made"), "--out", str(tmp_path / "local"))[0] == 0
    assert said(capsys, "view", "s3://bucket/seen", "--out", str(tmp_path / "remote"))[0] == 0
    assert tree(tmp_path / "remote") == tree(tmp_path / "local")
    code, _, err = said(capsys, "view", "s3://bucket/seen")
    assert code == 2
    assert err == (
        "error: s3://bucket/seen is in an object store; say where the page goes on this machine: --out DIR\n"
    )
    code, _, err = said(capsys, "view", "s3://bucket/seen", "--out", "s3://bucket/page")
    assert code == 2
    assert "output goes to a folder of this machine" in err


def test_status(reading: FaultyServer, run_maker: Callable[..., Any], tmp_path: Path, capsys: Any):
    run_maker(tmp_path / "begun", finalise=False)
    upload(tmp_path / "begun", "begun")
    code, out, _ = said(capsys, "status", "s3://bucket/begun")
    assert code == 1
    assert out.startswith("s3://bucket/begun: not running; the same command again goes on, 2 of 2 shards done (100%)\n")
    assert "in them 8 samples, 3 with artifacts; rejected: no_region 2" in out
    ObjectStore(Address("s3://bucket/begun")).put(CLAIM, b"{}")
    assert said(capsys, "status", "s3://bucket/begun")[0] == 0
    from shards.store_status import stored_status

    assert stored_status(Address("s3://bucket/begun")).state == "running"
    assert stored_status(Address("s3://bucket/begun"), time.time() + 120).state.startswith("not running")
    run_maker(tmp_path / "ended")
    upload(tmp_path / "ended", "ended")
    code, out, _ = said(capsys, "status", "s3://bucket/ended")
    assert code == 0
    local = said(capsys, "status", str(tmp_path / "ended"))[1]
    assert out == local.replace(str(tmp_path / "ended"), "s3://bucket/ended")
    code, _, err = said(capsys, "status", "s3://bucket/none")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no run of shards" in err


def test_export_and_the_source_read_from_there_too(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for where, name in ((RUN, "remote"), (str(stored), "local")):
        assert said(capsys, "export", "mmseg", where, "--out", str(tmp_path / name))[0] == 0
    remote, local = tree(tmp_path / "remote"), tree(tmp_path / "local")
    assert remote == local
    from shards.source import open_source

    one, other = open_source("shards", where=RUN), open_source("shards", where=str(stored))
    assert one.fingerprint() == other.fingerprint()
    assert [one[i].sha256 for i in range(8)] == [other[i].sha256 for i in range(8)]


def test_a_run_is_opened_from_python(stored: Path):
    import blemish

    one, other = blemish.open_run(RUN), blemish.open_run(stored)
    assert [sample.key for sample in one] == [sample.key for sample in other]
    assert (one.totals, one.config, one.is_complete) == (other.totals, other.config, True)
    assert list(one.rejects()) == list(other.rejects()) != []
    assert str(one) == f"Tiny run in {RUN}: 8 samples, complete"
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/none has no manifest\.json"):
        blemish.open_run("s3://bucket/none")


@pytest.mark.parametrize("verb", ["check", "show", "view", "status"])
def test_a_store_that_cannot_be_used_is_one_line(
    verb: str, reading: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = {"show": ["--out", str(tmp_path / "a.png")], "view": ["--out", str(tmp_path / "page")]}.get(verb, [])
    code, _, err = said(capsys, verb, "s3://nobody/run", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "the bucket is not there" in err
    code, _, err = said(capsys, verb, "hf://datasets/me/run", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be read from there" in err
    reading.fault = lambda method, path, query: "refused"
    code, _, err = said(capsys, verb, RUN, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "refuses these credentials" in err
