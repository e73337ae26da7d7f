"""A run in an object store: the bytes of a local one, whatever is killed, and whatever the store does."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, make_pictures
from line_work import work
from s3_server import FaultyServer

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.processes import Place
from corruptor.line.remake import remake
from shards import store_claim, stores
from shards.config import make_config
from shards.errors import ConfigError, MissingInputError, OutputError, ResumeError
from shards.reader import ShardReader
from shards.stores import Address

SHOWN = ("sheet.png", "view/")
"""What a run shows of itself is of a few of its shards only."""


@pytest.fixture
def address(server: FaultyServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Address]:
    """A folder of its own for each test."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stores, "FIRST_PAUSE", 0.01)
    server.requests.clear()
    yield Address(f"s3://bucket/{abs(hash(request.node.name))}")
    server.fault = lambda method, path, query: ""


@pytest.fixture(scope="module")
def values(pictures: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A damaged picture among them, so that there are rejects; six shards."""
    own = Path(shutil.copytree(pictures, tmp_path_factory.mktemp("stores") / "pictures"))
    (own / "picture 03b.png").write_bytes(b"no picture")
    return line_values(own, tiny_model, samples={"sources_per_shard": 2, "clean_share": 0.3})


@pytest.fixture(scope="module")
def config(values: dict[str, Any]) -> LineConfig:
    return make_config(values, LineConfig)


@pytest.fixture(scope="module")
def reference(config: LineConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a local run that an object store gets too."""
    out = tmp_path_factory.mktemp("objects") / "local"
    make_shards(config, out)
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: files[name].read_bytes() for name in sorted(files) if is_told(name)}


def is_told(name: str) -> bool:
    return not name.startswith((*SHOWN, ".", "progress"))


def there(server: FaultyServer, address: Address) -> dict[str, bytes]:
    """What the store holds of a run."""
    prefix = address.url.removeprefix("s3://bucket/") + "/"
    found = {name.removeprefix(prefix): data for name, data in server.objects("bucket").items() if prefix in name}
    return {name: data for name, data in found.items() if is_told(name)}


def test_the_bytes_are_those_of_a_local_run(
    server: FaultyServer, address: Address, config: LineConfig, reference: dict[str, bytes]
):
    words = make_shards(config, address)
    assert there(server, address) == reference
    assert f"in {address}" in words
    assert "blemish-run-" not in words
    puts = [path.rpartition("/")[2] for method, path in server.requests if method == "PUT"]
    for number in range(7):
        assert puts.index(f"{number:05d}.tar") < puts.index(f"{number:05d}.stats.json")
    assert puts[-1] == "manifest.json"
    lists = [path for method, path in server.requests if method == "GET" and path.rstrip("/") == "/bucket"]
    assert len(lists) == 2, "one listing whether the folder is empty, one of the shards"
    server.requests.clear()
    assert "nothing left to do" in make_shards(config, address)
    assert not [path for method, path in server.requests if method == "PUT" and path.endswith((".tar", ".stats.json"))]
    assert there(server, address) == reference


def test_what_is_damaged_or_gone_is_made_again(
    server: FaultyServer, address: Address, config: LineConfig, reference: dict[str, bytes]
):
    from s3_server import backend

    make_shards(config, address)
    keys, prefix = backend().buckets["bucket"].keys, address.url.removeprefix("s3://bucket/")
    del keys[f"{prefix}/shards/00001.tar"]
    del keys[f"{prefix}/shards/00002.stats.json"]
    keys[f"{prefix}/shards/00003.tar"].value = b"cut"
    keys[f"{prefix}/shards/00004.stats.json"].value = b"{"
    keys[f"{prefix}/inputs.jsonl"].value = keys[f"{prefix}/inputs.jsonl"].value[:100]
    server.requests.clear()
    make_shards(config, address)
    assert there(server, address) == reference
    tars = [path.rpartition("/")[2] for method, path in server.requests if method == "PUT" and path.endswith(".tar")]
    assert tars == [f"0000{number}.tar" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_faults(
    seed: int, server: FaultyServer, address: Address, config: LineConfig, reference: dict[str, bytes]
):
    draw, met = random.Random(seed), []

    def fault(method: str, path: str, query: str) -> str:
        kinds = {"PUT": ["error", "cut", "lost"], "HEAD": ["error"], "DELETE": ["error", "lost"]}.get(method, ["error"])
        if method == "GET" and "list-type" in query:
            kinds = ["error", "late"]
        if len(met) >= 20 or draw.random() < 0.6 or "claim" in path or path.endswith("manifest.json"):
            return ""
        met.append((method, path))
        return draw.choice(kinds)

    server.fault = fault
    make_shards(config, address)
    assert there(server, address) == reference
    assert len(met) == 20


def test_a_store_that_goes_away_costs_the_shard_under_way(
    server: FaultyServer, address: Address, config: LineConfig, reference: dict[str, bytes]
):
    server.fault = lambda method, path, query: "error" if "00003.tar" in path else ""
    with pytest.raises(OutputError, match=r"the store cannot be reached .* what is done is kept"):
        make_shards(config, address)
    held = there(server, address)
    assert {name for name in held if name.endswith(".tar")} == {f"shards/0000{number}.tar" for number in range(3)}
    assert all(held[name] == reference[name] for name in held if name.endswith((".tar", "stats.json")))
    server.fault = lambda method, path, query: ""
    server.requests.clear()
    make_shards(config, address)
    assert there(server, address) == reference
    assert not [path for method, path in server.requests if method == "PUT" and path.endswith("00002.tar")]


def test_another_run_and_other_objects_are_refused(
    server: FaultyServer, address: Address, config: LineConfig, config_of: Callable[..., LineConfig]
):
    make_shards(config, address)
    with pytest.raises(ResumeError, match="holds a run made with something else"):
        make_shards(config_of(seed=7), address)
    stores.ObjectStore(Address(f"{address}x")).put("novel.txt", b"x")
    with pytest.raises(ResumeError, match=r"holds other objects \(novel\.txt\)"):
        make_shards(config, Address(f"{address}x"))


def test_several_writers_are_refused(address: Address, config: LineConfig, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="use --engine ray"):
        make_shards(config, address, Place(0, 2))
    monkeypatch.setattr(store_claim, "LOOK", 0.1)
    monkeypatch.setattr(store_claim, "BEAT", 0.1)
    with store_claim.StoreClaim(stores.ObjectStore(address)), pytest.raises(ResumeError, match="--engine ray"):
        make_shards(config, address)


def test_a_run_in_a_store_grows(server: FaultyServer, address: Address, tiny_model: Path, tmp_path: Path):
    root = make_pictures(tmp_path / "pictures", 5)
    values = line_values(root, tiny_model, samples={"sources_per_shard": 2})
    config = make_config(values, LineConfig)
    more = make_config({**values, "source": {"name": "folder", "options": {"root": str(root), "limit": 0}}}, LineConfig)
    few = make_config({**values, "source": {"name": "folder", "options": {"root": str(root), "limit": 3}}}, LineConfig)
    for out in (address, tmp_path / "local"):
        make_shards(few, out)
        make_shards(more, out, extend=True)
    local = {
        path.relative_to(tmp_path / "local").as_posix(): path.read_bytes()
        for path in (tmp_path / "local").rglob("*.*")
        if path.is_file()
    }
    assert there(server, address) == {name: data for name, data in local.items() if is_told(name)}
    assert json.loads(local["manifest.json"])["grown"][0]["last_shard"] == "partial"
    assert config.source.options["root"] == str(root)


def test_a_sample_in_a_store_is_made_again(
    address: Address, config: LineConfig, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BLEMISH_CACHE", str(tmp_path / "cache"))
    make_shards(config, address)
    key = ShardReader(str(address)).key(0)
    with pytest.raises(MissingInputError, match=r"is not known here; say where it lies: --set model\.folder="):
        remake(address, key, None)
    there = [f"source.options.root={values['source']['options']['root']!r}"]
    there += [f"model.folder={values['model']['folder']!r}"]
    for where in (address, Address(f"{address}/shards/00000.tar")):
        assert remake(where, key, tmp_path / "again", there).same
    assert (tmp_path / "again" / f"{key}.json").is_file()


def killed(server: FaultyServer, values: dict[str, Any], address: Address, number: int) -> bool:
    """Start the command in a process of its own and kill it at this request of its; whether it ended before.

    A command that ends of itself has not failed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["corruptor.line.run", "corruptor.line.command"])
    process = context.Process(target=start, args=(dict(os.environ), values, address))
    server.requests.clear()
    process.start()
    while sum("claim" not in path for _, path in list(server.requests)) < number and process.exitcode is None:
        time.sleep(0.001)
    ended = process.exitcode is not None
    process.kill()
    process.join()
    assert not ended or process.exitcode == 0
    return ended


def start(environ: dict[str, str], values: dict[str, Any], address: Address) -> None:
    os.environ.update(environ)
    stores.FIRST_PAUSE = 0.01
    work(values, address)


@pytest.mark.slow
def test_twenty_kills_and_twenty_faults(
    server: FaultyServer, address: Address, values: dict[str, Any], reference: dict[str, bytes]
):
    draw, kills, met, wounds = random.Random(0), 0, [], Counter[str]()

    def fault(method: str, path: str, query: str) -> str:
        kinds = {"PUT": ["error", "cut", "lost"], "GET": ["error", "late"] if "list-type" in query else ["error"]}
        if len(met) >= 20 or draw.random() < 0.9 or "claim" in path or path.endswith("manifest.json"):
            return ""
        met.append((method, path))
        return draw.choice(kinds.get(method, ["error"]))

    server.fault = fault
    while kills < 20 or len(met) < 20:
        if killed(server, values, address, draw.randint(1, 80)):
            store = stores.ObjectStore(address)
            for number in draw.sample(range(7), 4):  # it was complete: lose some of it
                store.delete(f"shards/{number:05d}.stats.json")
            continue
        kills += 1
        held = there(server, address)
        whole = {name for name in held if name.endswith(("stats.json", "rejects.jsonl")) and name.startswith("shards")}
        assert all(held[name] == reference[name] for name in whole)
        for name in held:
            if name.endswith(".tar") and held[name] != reference[name]:  # cut, and killed before it was looked at
                assert f"{name[:-4]}.stats.json" not in held, "a done mark beside a tar that is not whole"
        last = [path for method, path in server.requests if method == "PUT" and "claim" not in path]
        wounds[last[-1].rpartition("/")[2].partition(".")[2] if last else "before the first put"] += 1
    print(f"{kills} kills after a put of {dict(wounds)}; {len(met)} faults")
    server.fault = lambda method, path, query: ""
    assert make_shards(make_config(values, LineConfig), address)
    assert there(server, address) == reference
