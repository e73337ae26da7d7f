"""What an actor does, without a cluster: two of them share out a run, in a folder and in an object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, tree
from s3_server import FaultyServer

from corruptor.line.actor import LineActor
from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from shards.config import make_config
from shards.errors import OutputError
from shards.handout import Handout
from shards.same_folder import TOKEN, check_token
from shards.stores import Address


class Shares:
    """The handout as one actor in this process has it; it gives out `most` pieces at most."""

    def __init__(self, handout: Handout, worker: str, most: int | None = None) -> None:
        self.handout, self.worker = handout, worker
        self.given = islice(iter(lambda: handout.next(worker), None), most)

    def next(self) -> int | None:
        return next(self.given, None)

    def done(self, piece: int, facts: Any = None) -> None:
        self.handout.done(self.worker, piece, facts)

    def busy(self, piece: int) -> None:
        self.handout.busy(self.worker, piece)


@pytest.fixture(scope="module")
def config(pictures: Path, tiny_model: Path) -> LineConfig:
    return make_config(line_values(pictures, tiny_model, samples={"sources_per_shard": 2}), LineConfig)


@pytest.fixture(scope="module")
def reference(config: LineConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The run of a single process."""
    out = tmp_path_factory.mktemp("actor") / "one"
    make_shards(config, out)
    return tree(out)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    pytest.importorskip("obstore", reason="obstore is not installed (pip install 'blemish[stores]')")
    pytest.importorskip("moto", reason="moto, an S3 server for tests, is not installed")
    made = FaultyServer()
    made.bucket("actors")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def share_out(config: LineConfig, out: Path | Address) -> str:
    """The first actor plans, the second makes two shards, the first the others, and the second ends the run."""
    first, second = LineActor(config, out), LineActor(config, out)
    first.open()
    second.open()
    plan, todo = first.plan()
    assert (plan.rows, plan.done, todo) == (12, 0, list(range(6)))
    handout = Handout(todo)
    second.work(Shares(handout, "second", 2), plan)
    first.work(Shares(handout, "first"), plan)
    news = handout.news()
    assert news.unfinished == 0
    assert sorted(piece for piece, _ in news.facts) == todo
    assert sum(sum(made.rows.values()) for _, made in news.facts) == 12
    assert sum(made.nfe for _, made in news.facts) > 0
    return second.finish((12, 1.0))


def test_in_a_folder(config: LineConfig, reference: dict[str, str], tmp_path: Path):
    assert "12 images in" in share_out(config, tmp_path / "run")
    assert tree(tmp_path / "run") == reference


def test_in_an_object_store_which_no_disk_needs_to_be_shared_for(
    config: LineConfig, reference: dict[str, str], server: FaultyServer
):
    words = share_out(config, Address("s3://actors/run"))
    assert "in s3://actors/run" in words
    made = {name.removeprefix("run/"): data for name, data in server.objects("actors").items()}
    told = [name for name in reference if not name.startswith(("sheet.png", "view/", "."))]
    assert {name: hashlib.sha256(made[name]).hexdigest() for name in told} == {name: reference[name] for name in told}
    assert "sheet.png" in made


def test_what_another_process_has_made_is_told_and_not_made_again(config: LineConfig, tmp_path: Path):
    out = tmp_path / "run"
    actor = LineActor(config, out)
    actor.open()
    plan, todo = actor.plan()
    make_shards(config, out)
    (out / TOKEN).unlink()
    before = tree(out)
    (out / TOKEN).write_text(plan.token)  # the other process has ended the run; this actor does not know yet
    handout = Handout(todo)
    actor.work(Shares(handout, "late"), plan)
    assert [made.found for _, made in handout.news().facts] == [2] * 6
    (out / TOKEN).unlink()
    assert {name: digest for name, digest in tree(out).items() if name != ".lock"} == before


def test_a_folder_that_machines_do_not_share_is_refused(tmp_path: Path):
    (tmp_path / TOKEN).write_text("abc")
    check_token(tmp_path, "abc")
    for out, token in ((tmp_path, "abd"), (tmp_path / "other", "abc")):
        with pytest.raises(OutputError, match="is not the folder that other machines of the cluster see"):
            check_token(out, token)
