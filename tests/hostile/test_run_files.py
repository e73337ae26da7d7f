"""Files of a run that are damaged, gone or in the way: running again makes the run whole, or says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import batches, run
from line_case import copy_case, line_tools, make, make_case, tree
from mutate import DEEP, mutated, mutated_json

from shards.build import plain
from shards.errors import UserError
from shards.files import process_name
from shards.writer import RunWriter

Spoil = Callable[[Path], object]
Maker = Callable[..., RunWriter]
STATS, TAR, REJECTS = "shards/00000.stats.json", "shards/00000.tar", "shards/00000.rejects.jsonl"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two shards, the first with a reject."""
    folder = tmp_path_factory.mktemp("files")
    model = line_tools().make_pipeline(tmp_path_factory.mktemp("model") / "tiny")
    make(make_case(folder, model), codes=(0,), seconds=120)
    manifest = json.loads((folder / "out/manifest.json").read_bytes())
    assert (len(manifest["shards"]), manifest["totals"]["rejects"]) == (2, {"not_image": 1})
    return folder


def change(name: str, **values: object) -> Spoil:
    """Set values of a JSON file; None takes one away."""

    def spoil(out: Path) -> None:
        stored = {**json.loads((out / name).read_bytes()), **values}
        (out / name).write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))

    return spoil


def write(name: str, data: bytes) -> Spoil:
    return lambda out: (out / name).write_bytes(data)


def cut(name: str) -> Spoil:
    return lambda out: os.truncate(out / name, (out / name).stat().st_size // 2)


def gone(name: str) -> Spoil:
    return lambda out: (out / name).unlink()


def replaced(name: str, make_one: Callable[[Path], object]) -> Spoil:
    def spoil(out: Path) -> None:
        (out / name).unlink()
        make_one(out / name)

    return spoil


MADE_ANEW = {
    "stats cut": cut(STATS),
    "stats empty": write(STATS, b""),
    "stats a list": write(STATS, b"[1, 2]"),
    "stats deep": write(STATS, DEEP.encode()),
    "stats no UTF-8": write(STATS, b'{"shard": "\xff"}'),
    "stats without a key": change(STATS, samples=None),
    "stats of another type": change(STATS, samples="2"),
    "stats not finite": write(STATS, b'{"shard": NaN}'),
    "stats below zero": change(STATS, samples=-2, artifact=-2),
    "stats of another shard": change(STATS, shard=1),
    "stats with other rejects": change(STATS, rejects={}),
    "stats a FIFO": replaced(STATS, os.mkfifo),
    "tar gone": gone(TAR),
    "tar cut": cut(TAR),
    "tar empty": write(TAR, b""),
    "tar a FIFO": replaced(TAR, os.mkfifo),
    "rejects gone": gone(REJECTS),
    "rejects cut": write(REJECTS, b""),
    "a temporary file": lambda out: (out / "shards" / f"00001.tar.{process_name()}.partial").write_bytes(b"x"),
}


@pytest.mark.parametrize("what", MADE_ANEW)
def test_what_is_not_sound_is_made_anew(tmp_path: Path, run_maker: Maker, what: str):
    run_maker(tmp_path / "run")
    before = tree(tmp_path / "run")
    MADE_ANEW[what](tmp_path / "run")
    run_maker(tmp_path / "run")
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize("what", ["stats cut", "tar gone", "rejects gone"])
def test_the_same_command_again_makes_the_run_whole(finished: Path, tmp_path: Path, what: str):
    case = copy_case(finished, tmp_path)
    before = tree(case / "out")
    MADE_ANEW[what](case / "out")
    make(case, codes=(0,))
    assert tree(case / "out") == before


IN_THE_WAY = {
    "stats a folder": replaced(STATS, os.mkdir),
    "tar a folder": replaced(TAR, os.mkdir),
    "manifest cut": cut("manifest.json"),
    "manifest empty": write("manifest.json", b""),
    "manifest a list": write("manifest.json", b"[]"),
    "manifest deep": write("manifest.json", DEEP.encode()),
    "manifest a FIFO": replaced("manifest.json", os.mkfifo),
    "manifest a folder": replaced("manifest.json", os.mkdir),
    "manifest gone": gone("manifest.json"),
    "manifest without config": change("manifest.json", config=None),
    "manifest with a number in place of the config": change("manifest.json", config=3),
    "card a folder": replaced("README.md", os.mkdir),
    "lock a folder": lambda out: (out / ".lock").mkdir(),
    "lock a link": lambda out: (out / ".lock").symlink_to("/etc/hostname"),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_is_in_the_way_is_an_error(tmp_path: Path, run_maker: Maker, what: str):
    run_maker(tmp_path / "run")
    IN_THE_WAY[what](tmp_path / "run")
    with pytest.raises(UserError):
        run_maker(tmp_path / "run")


@pytest.mark.parametrize("what", ["stats a folder", "manifest deep", "manifest a FIFO", "manifest without config"])
def test_what_is_in_the_way_is_one_line(finished: Path, tmp_path: Path, what: str):
    case = copy_case(finished, tmp_path)
    IN_THE_WAY[what](case / "out")
    make(case, codes=(2,))


@pytest.mark.parametrize("threads", [-5, 10**12, "2", None])
def test_any_number_of_threads_in_the_manifest(finished: Path, tmp_path: Path, threads: object):
    case = copy_case(finished, tmp_path)
    manifest = json.loads((case / "out/manifest.json").read_bytes())
    manifest["config"]["compute"]["num_threads"] = threads
    (case / "out/manifest.json").write_text(json.dumps(manifest))
    make(case, codes=(2,))


def test_what_is_not_ours_stays(finished: Path, tmp_path: Path):
    case = copy_case(finished, tmp_path)
    own = ["manifest.json.bak", "manifest.json.old.partial", "notes.partial", "shards/00000.tar.partial"]
    for name in own:
        (case / "out" / name).write_bytes(b"mine")
    (case / "out" / TAR).unlink()
    make(case, codes=(0,))
    assert {name: (case / "out" / name).read_bytes() for name in own} == dict.fromkeys(own, b"mine")


@pytest.mark.parametrize("name", ["manifest.json.bak", "thesis.tex", "shards/00000.tar", "shards"])
def test_a_folder_with_files_of_others_is_not_taken(finished: Path, tmp_path: Path, name: str):
    case = copy_case(finished, tmp_path)
    shutil.rmtree(case / "out")
    (case / "out" / name).parent.mkdir(parents=True)
    (case / "out" / name).write_bytes(b"mine")
    make(case, codes=(2,))
    assert list(tree(case / "out")) == [name]


def test_stats_of_an_earlier_version_hold(finished: Path, tmp_path: Path):
    case = copy_case(finished, tmp_path)
    before = tree(case / "out")
    change(STATS, size=None)(case / "out")
    assert "nothing left to do" in make(case, codes=(0,)).out
    os.truncate(case / "out" / TAR, 4608)
    make(case, codes=(0,))
    assert tree(case / "out") == before


REMAKE = ["corruptor", "remake", "out", "00000_00000", "--out", "again"]


@pytest.mark.parametrize("seeds", batches(ci=5, slow=100, size=5))
def test_remaking_from_a_mutated_manifest(finished: Path, tmp_path: Path, seeds: range):
    case = copy_case(finished, tmp_path)
    stored = json.loads((case / "out/manifest.json").read_bytes())
    for seed in seeds:
        (case / "out/manifest.json").write_bytes(mutated_json(stored, seed))
        run(REMAKE, case, out="again", codes=(0, 1, 2), seconds=30)


@pytest.mark.parametrize("seeds", batches(ci=20, slow=600, size=20))
def test_mutated_marks_and_manifests(tmp_path: Path, run_maker: Maker, seeds: range):
    writer = run_maker(tmp_path / "run")
    files = {name: (tmp_path / "run" / name).read_bytes() for name in ("manifest.json", STATS, TAR, REJECTS)}
    for seed in seeds:
        name = list(files)[seed % 4]
        value = json.loads(files[name]) if name.endswith(".json") else None
        spoilt = mutated_json(value, seed) if value is not None and seed % 8 < 4 else mutated(files[name], seed)
        (tmp_path / "run" / name).write_bytes(spoilt)
        try:
            again = RunWriter(tmp_path / "run", writer.info)
            for index in again.todo():
                run_maker(tmp_path / "run", finalise=False)
                assert again.is_done(index)
            assert plain(again.finalise())["shards"] <= 2
        except UserError:
            pass  # what is in the way is said
        for kept, data in files.items():
            (tmp_path / "run" / kept).write_bytes(data)
