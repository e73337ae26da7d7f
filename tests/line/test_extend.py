"""A run that grows: what was made stays as it is, what is new comes after, and the whole checks out."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, make_pictures, tree
from line_work import work

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.plan import Plan
from corruptor.line.remake import remake
from corruptor.line.run import Line, open_line, run_shards
from shards import growth
from shards.check import check_run
from shards.config import make_config
from shards.errors import OutputError, ResumeError
from shards.files import hash_file
from shards.growth import follow, write_inputs
from shards.reader import ShardReader
from shards.source import open_source
from shards.writer import MANIFEST, read_manifest

SINGLY = {"device": "cpu", "num_threads": 1, "batch_size": 1}


@pytest.fixture
def limited(pictures: Path, config_of: Callable[..., LineConfig]) -> Callable[[int], LineConfig]:
    """A run over the first so many pictures, one picture a batch."""
    return lambda limit: config_of(
        source={"name": "folder", "options": {"root": str(pictures), "limit": limit}}, compute=SINGLY
    )


def tars(out: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(out).items() if name.endswith((".tar", ".stats.json"))}


def pixels(out: Path) -> dict[tuple[str, int, int], tuple[bytes, bytes]]:
    """(sha256, occurrence, variant) of a sample -> its picture and mask."""
    reader = ShardReader(out)
    samples = [reader[index] for index in range(len(reader))]
    found = {
        (s.meta.source.sha256, s.meta.source.occurrence, s.meta.variant): (s.image.tobytes(), s.mask.tobytes())
        for s in samples
    }
    assert len(found) == len(samples), "two samples of one source and variant"
    return found


def test_a_plan_with_breaks_solved_by_hand():
    plan = Plan(num_items=12, sources_per_shard=4, num_variants=2, breaks=(2, 7))
    assert plan.starts == [0, 2, 6, 7, 11]
    assert [list(plan.indices(shard)) for shard in range(5)] == [[0, 1], [2, 3, 4, 5], [6], [7, 8, 9, 10], [11]]
    assert [plan.num_rows(shard) for shard in range(5)] == [4, 8, 2, 8, 2]
    assert [plan.key(*pair) for pair in ((1, 1), (2, 0), (6, 1), (11, 0))] == [
        "00000_00003",
        "00001_00000",
        "00002_00001",
        "00004_00000",
    ]
    assert Plan(12, 4, 2, breaks=(8,)).starts == Plan(12, 4, 2).starts, "a break between full shards moves nothing"


def test_a_preview_becomes_the_beginning_of_the_run(limited: Callable[[int], LineConfig], tmp_path: Path):
    out = tmp_path / "run"
    make_shards(limited(3), out)
    preview = tars(out)
    with pytest.raises(ResumeError, match=r"limit: 3 there, 12 now.*--extend"):
        make_shards(limited(12), out)
    make_shards(limited(12), out, extend=True)
    assert preview.items() <= tars(out).items(), "what was made has changed"
    assert sorted(path.name for path in (out / "shards").glob("*.tar")) == ["00000.tar", "00001.tar", "00002.tar"]
    assert check_run(out).ok
    make_shards(limited(12), tmp_path / "once")
    assert pixels(out) == pixels(tmp_path / "once")
    manifest = read_manifest(out / MANIFEST)
    assert manifest["source"]["items"] == 12
    assert [(one["items"], one["last_shard"]) for one in manifest["grown"]] == [(3, "partial")]
    assert "nothing left to do" in make_shards(limited(12), out)
    assert "nothing left to do" in make_shards(limited(12), out, extend=True)
    assert remake(out, ShardReader(out / "shards" / "00002.tar").key(0), None).same


def test_full_shards_and_open_ones_are_those_of_a_run_made_at_once(
    limited: Callable[[int], LineConfig], tmp_path: Path
):
    make_shards(limited(12), tmp_path / "once")
    whole = {name: digest for name, digest in tars(tmp_path / "once").items() if not name.startswith("shards/00000")}
    make_shards(limited(5), tmp_path / "run")
    make_shards(limited(12), tmp_path / "run", extend=True)
    assert whole.items() <= tars(tmp_path / "run").items()
    line = open_line(limited(7), tmp_path / "stopped")
    run_shards(line, [0])  # and stopped before shard 1
    make_shards(limited(12), tmp_path / "stopped", extend=True)
    assert whole.items() <= tars(tmp_path / "stopped").items()
    assert check_run(tmp_path / "stopped").ok


def uris_of(out: Path) -> dict[str, str]:
    reader = ShardReader(out)
    return {reader.key(index): reader.meta(index).source.uri for index in range(len(reader))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "mine", count=7)


@pytest.fixture
def mine(folder: Path, config_of: Callable[..., LineConfig]) -> LineConfig:
    return config_of(source={"name": "folder", "options": {"root": str(folder)}}, compute=SINGLY)


def add_pictures(folder: Path) -> None:
    """Three more: a copy that sorts before all others, one in between, one after."""
    more = make_pictures(folder.parent / "more", count=9, side=36)
    shutil.copy(folder / "picture 00.é.png", folder / "a copy.png")
    shutil.copy(more / "picture 07.é.png", folder / "picture 03b.png")
    shutil.copy(more / "picture 08.é.png", folder / "zzz.png")


def test_new_files_in_a_folder_become_new_shards(folder: Path, mine: LineConfig, tmp_path: Path):
    out = tmp_path / "run"
    make_shards(mine, out)
    before, uris = tars(out), uris_of(out)
    add_pictures(folder)
    with pytest.raises(ResumeError, match=r"source.items: 8 there, 11 now.*--extend"):
        make_shards(mine, out)
    make_shards(mine, out, extend=True)
    assert before.items() <= tars(out).items()
    assert check_run(out).ok
    pixels(out)
    now = uris_of(out)
    assert uris.items() <= now.items()
    assert [now[key] for key in now if key not in uris] == ["a copy.png", "picture 03b.png", "zzz.png"]
    for key in ("00000_00000", "00002_00000"):  # the copy that sorts first keeps its noise, that of the second copy
        assert remake(out, key, None).same
    assert "nothing left to do" in make_shards(mine, out)
    shutil.copy(folder / "zzz.png", folder / "b.png")
    make_shards(mine, out, extend=True)
    assert check_run(out).ok
    assert [one["items"] for one in read_manifest(out / MANIFEST)["grown"]] == [8, 11]


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_what_was_used_must_still_be_there(change: str, folder: Path, mine: LineConfig, tmp_path: Path):
    make_shards(mine, tmp_path / "run")
    before = tree(tmp_path / "run")
    add_pictures(folder)
    if change == "gone":
        (folder / "picture 02.é.png").unlink()
    else:
        shutil.copy(folder / "picture 05.é.png", folder / "picture 02.é.png")
    with pytest.raises(ResumeError, match=r"1 of the 8 inputs of the run .* gone or changed, .*picture 02"):
        make_shards(mine, tmp_path / "run", extend=True)
    assert tree(tmp_path / "run") == before


def test_a_run_does_not_shrink_nor_change(
    limited: Callable[[int], LineConfig], config_of: Callable[..., LineConfig], pictures: Path, tmp_path: Path
):
    line = open_line(limited(5), tmp_path / "run")
    before = tree(tmp_path / "run")
    with pytest.raises(ResumeError, match=r"run of 5 inputs and the source has 3 now; a run only grows"):
        open_line(limited(3), tmp_path / "run", line.backbone, extend=True)
    other = config_of(source={"name": "folder", "options": {"root": str(pictures), "licence": "MIT"}}, compute=SINGLY)
    with pytest.raises(ResumeError, match=r"else \(config.source.options.licence: 'nothing' there, 'MIT' now\)"):
        open_line(other, tmp_path / "run", line.backbone, extend=True)
    assert tree(tmp_path / "run") == {**before, ".lock": hash_file(tmp_path / "run" / ".lock")}


def test_a_kill_between_list_and_manifest_leaves_the_run_as_it_was(
    folder: Path, mine: LineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    make_shards(mine, out)
    before = tars(out)
    add_pictures(folder)

    def killed(path: Path, value: Any) -> None:
        raise OutputError(f"killed before {path}")

    with monkeypatch.context() as patch:
        patch.setattr(growth, "write_json", killed)
        with pytest.raises(OutputError, match="killed before"):
            make_shards(mine, out, extend=True)
    assert check_run(out).ok
    (folder / "zzz.png").unlink()  # and the list is another when it goes on
    make_shards(mine, out, extend=True)
    assert check_run(out).ok
    assert before.items() <= tars(out).items()
    assert len(ShardReader(out)) == 10


def test_a_command_that_was_begun_before_the_extension_stops(limited: Callable[[int], LineConfig], tmp_path: Path):
    old: Line = open_line(limited(7), tmp_path / "run")
    assert old.writer.locks.take(1)  # at work on the last shard
    with pytest.raises(ResumeError, match=r"00001.tar is being made by another process; extend the run after it"):
        open_line(limited(12), tmp_path / "run", old.backbone, extend=True)
    old.writer.locks.release(1)
    open_line(limited(12), tmp_path / "run", old.backbone, extend=True)
    with pytest.raises(ResumeError, match="was extended meanwhile"):
        run_shards(old, [0])
    with pytest.raises(ResumeError, match="was extended meanwhile"):
        old.writer._check_current()


def test_processes_that_extend_together(pictures: Path, tiny_model: Path, tmp_path: Path):
    def values(limit: int) -> dict[str, Any]:
        source = {"name": "folder", "options": {"root": str(pictures), "limit": limit}}
        return line_values(pictures, tiny_model, source=source, samples={"sources_per_shard": 2, "clean_share": 0.3})

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["corruptor.line.run", "corruptor.line.command"])
    one, many = tmp_path / "one", tmp_path / "many"
    for out in (one, many):
        make_shards(make_config(values(3), LineConfig), out)
    make_shards(make_config(values(12), LineConfig), one, extend=True)
    for kill in (True, False):
        processes = [context.Process(target=work, args=(values(12), many, rank, 2, True)) for rank in range(2)]
        for process in processes:
            process.start()
        if kill:
            processes[0].join(2.0)
            processes[0].kill()
        for process in processes:
            process.join()
    assert tree(many) == tree(one)


def test_a_larger_draw_keeps_the_order_of_the_smaller(pictures: Path, tmp_path: Path):
    def drawn(count: int) -> Any:
        return open_source("folder", root=str(pictures), select={"count": count, "seed": 3})

    manifest = {"source": drawn(4).describe(), "num_shards": 1}
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "00000.stats.json").write_text("{}")
    write_inputs(tmp_path, drawn(4).listing())
    followed = follow(drawn(9), tmp_path, manifest, per_shard=5, extend=True)
    assert list(followed.source.listing())[:4] == list(drawn(4).listing())
    assert sorted(followed.source.listing()) == sorted(drawn(9).listing())
    assert followed.grown == ({"items": 4, "config_hash": "", "last_shard": "partial"},)
    assert [followed.source[index].uri for index in range(4)] == [drawn(4)[index].uri for index in range(4)]
