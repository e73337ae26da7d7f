"""Shards are whole or absent, equal input gives equal bytes, kills and full disks lose nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shards.files
from shards.errors import OutputError, ResumeError
from shards.source import Reject
from shards.writer import RunInfo, RunWriter


def tree(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".index.npz")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_an_independent_reader_finds_every_member(finished_run):
    with tarfile.open(finished_run / "shards" / "00001.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o444)}
    keys = sorted({name.split(".")[0] for name in members})
    assert keys == [f"00001_{row:05d}" for row in range(4)]
    for key in keys:
        mask = np.asarray(Image.open(io.BytesIO(members[f"{key}.mask.png"])))
        image, source = (
            np.asarray(Image.open(io.BytesIO(members[f"{key}{end}"]))) for end in (".webp", ".source.webp")
        )
        record = json.loads(members[f"{key}.json"])
        assert set(np.unique(mask)) == ({0, 255} if record["label"] == "artifact" else {0})
        assert np.array_equal((image != source).any(axis=2), mask == 255)


def test_equal_runs_are_equal_bytes(tmp_path, run_maker):
    run_maker(tmp_path / "a")
    run_maker(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_manifest_rejects_and_stats_agree(finished_run):
    manifest = json.loads((finished_run / "manifest.json").read_text())
    assert manifest["totals"] == {
        "samples": 8,
        "artifact": 3,
        "clean": 5,
        "bytes": manifest["totals"]["bytes"],
        "shards": 2,
        "rejects": {"no_region": 2},
    }
    for shard in manifest["shards"]:
        assert hashlib.sha256((finished_run / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]
    rejects = [json.loads(line) for line in (finished_run / "rejects.jsonl").read_text().splitlines()]
    assert [(r["index"], r["uri"], r["reason"]) for r in rejects] == [
        (4, "0.png", "no_region"),
        (8, "1.png", "no_region"),
    ]


def test_a_failed_shard_leaves_nothing_and_resumes(tmp_path, run_maker, sample):
    run = run_maker(tmp_path / "run", finalise=False)
    reference = tree(tmp_path / "run")
    (tmp_path / "run/shards/00001.stats.json").unlink()  # as if killed between the tar and its mark
    assert run.todo() == [1]
    with pytest.raises(RuntimeError, match="model"), run.shard(1) as shard:  # noqa: PT012
        shard.write(sample(1, 0))
        raise RuntimeError("model")
    assert not list((tmp_path / "run/shards").glob("00001*"))
    run_maker(tmp_path / "run", finalise=False)
    assert tree(tmp_path / "run") == reference


def test_a_shard_of_rejects_has_no_tar(tmp_path):
    run = RunWriter(tmp_path / "run", RunInfo({}, {"name": "s", "items": 1}, 1))
    with run.shard(0) as shard:
        shard.reject(Reject("naïve\udcff.png", "empty"), 0)
    totals = run.finalise()
    assert (totals["samples"], totals["shards"]) == (0, 0)
    assert not (tmp_path / "run/shards/00000.tar").exists()
    assert json.loads((tmp_path / "run/rejects.jsonl").read_bytes())["reason"] == "empty"


def test_another_config_source_or_codec_is_refused(tmp_path, run_maker):
    run_maker(tmp_path / "run")
    with pytest.raises(ResumeError, match=r"config.step: 'nothing' there, 35 now"):
        run_maker(tmp_path / "run", step=35)
    with pytest.raises(ResumeError, match=r"num_shards: 2 there, 3 now; source.items"):
        run_maker(tmp_path / "run", num_shards=3)
    same = {"name": "set", "items": 8, "fingerprint": "ff"}
    with pytest.raises(ResumeError, match="codec: 'webp' there, 'png' now"):
        RunWriter(tmp_path / "run", RunInfo({"seed": 1}, same, 2), codec="png")
    RunWriter(tmp_path / "run", RunInfo({"seed": 1, "device": "cuda"}, same, 2, ignore=("device",)))


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ResumeError, match=r"holds other files \(thesis.tex\)"):
        RunWriter(tmp_path, RunInfo({}, {}, 1))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ResumeError, match=r"manifest\.json: not usable as JSON"):
        RunWriter(tmp_path, RunInfo({}, {}, 1))


def test_an_unfinished_run_is_not_finalised(tmp_path):
    run = RunWriter(tmp_path / "run", RunInfo({}, {}, 3))
    with pytest.raises(ResumeError, match="3 of 3 shards are not done, first 00000"):
        run.finalise()


def test_rows_of_another_shard_or_backwards_are_our_own_mistake(tmp_path, sample):
    run = RunWriter(tmp_path / "run", RunInfo({}, {}, 1))
    with pytest.raises(ValueError, match="cannot follow"), run.shard(0) as shard:
        shard.write(sample(1, 0))
    with pytest.raises(ValueError, match="cannot follow"), run.shard(0) as shard:  # noqa: PT012
        shard.write(sample(0, 1))
        shard.write(sample(0, 1))


class FullDisk:
    """A file on a disk that has room for `room` more bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)


@pytest.mark.parametrize("room", [0, 5_000, 16_000])
def test_a_full_disk_is_one_clear_line_and_nothing_half_written(tmp_path, monkeypatch, run_maker, sample, room):
    run = run_maker(tmp_path / "run", finalise=False)
    reference = tree(tmp_path / "run")
    (tmp_path / "run/shards/00001.stats.json").unlink()
    real_open = Path.open
    full = lambda self, mode="r", *a: FullDisk(real_open(self, mode), room) if mode == "wb" else real_open(self, mode)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(shards.files.Path, "open", full)
        with pytest.raises(OutputError, match=r"no space left .* run the same command again"), run.shard(1) as shard:  # noqa: PT012
            for row in range(40):
                shard.write(sample(1, row))
    assert not list((tmp_path / "run/shards").glob("00001*"))
    run_maker(tmp_path / "run", finalise=False)
    assert tree(tmp_path / "run") == reference


def test_a_real_full_file_system(tmp_path, run_maker):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with pytest.raises(OutputError, match="no space left"):
            run_maker(disk / "run", num_shards=1, rows=40)
        assert sorted(path.name for path in (disk / "run/shards").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        run_maker(disk / "run", num_shards=1, rows=40)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OutputError, match="choose a folder that you may write to"):
            run_maker(disk / "other")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_output_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="another file stands in the way"):
        RunWriter(tmp_path / "file", RunInfo({}, {}, 1))


def test_errors_of_the_work_itself_are_not_called_output_errors(tmp_path):
    run = RunWriter(tmp_path / "run", RunInfo({}, {}, 1))
    with pytest.raises(FileNotFoundError, match="weights") as caught, run.shard(0):
        raise FileNotFoundError("weights")
    assert not isinstance(caught.value, OutputError)


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import conftest
conftest.write_run(Path(sys.argv[1]), num_shards=8, rows=6)
"""


def test_killed_at_any_moment_the_run_resumes_to_the_same_bytes(tmp_path, run_maker):
    run_maker(tmp_path / "whole", num_shards=8, rows=6)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), str(Path(__file__).parents[1])]
    for delay in (0.02, 0.11, 0.07):
        child = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while not (tmp_path / "run/shards").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
    run_maker(tmp_path / "run", num_shards=8, rows=6)
    assert tree(tmp_path / "run") == tree(tmp_path / "whole")
