"""Objects put whole, or not at all, on a real S3 server; what fails for the moment is tried again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import FaultyServer

from shards import store_claim, stores
from shards.errors import OutputError, ResumeError
from shards.store_claim import CLAIM, StoreClaim
from shards.stores import Address, ObjectStore, output

RUN = Address("s3://bucket/run")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    pytest.importorskip("obstore", reason="obstore is not installed (pip install 'blemish[stores]')")
    pytest.importorskip("moto", reason="moto, an S3 server for tests, is not installed")
    made = FaultyServer()
    yield made
    made.close()


@pytest.fixture
def store(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stores, "FIRST_PAUSE", 0.01)
    server.bucket("bucket")
    server.requests.clear()
    yield ObjectStore(RUN)
    server.fault = lambda method, path, query: ""
    server.bucket("bucket", "DELETE")


def times(server: FaultyServer, fault: str, count: int, method: str = "PUT") -> list[str]:
    """Let the next `count` requests of this method meet the fault; what was met is in the list."""
    met: list[str] = []

    def choose(verb: str, path: str, query: str) -> str:
        if verb != method or len(met) >= count:
            return ""
        met.append(path)
        return fault

    server.fault = choose
    return met


def test_put_get_list_delete(store: ObjectStore, server: FaultyServer, tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(b"tar" * 1000)
    store.put_file("shards/a.tar", tmp_path / "a.tar")
    store.put("b.json", b"{}")
    assert server.objects("bucket") == {"run/shards/a.tar": b"tar" * 1000, "run/b.json": b"{}"}
    assert store.sizes() == {"shards/a.tar": 3000, "b.json": 2}
    assert store.sizes("shards") == {"shards/a.tar": 3000}
    found = store.get("b.json")
    assert found is not None
    assert found[0] == b"{}"
    assert store.get("c.json") is None
    store.get_file("shards/a.tar", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == b"tar" * 1000
    store.delete("b.json")
    store.delete("b.json")
    assert list(server.objects("bucket")) == ["run/shards/a.tar"]


@pytest.mark.parametrize(("fault", "count"), [("error", 5), ("cut", 1), ("lost", 2)])
def test_a_put_that_fails_is_made_again_until_it_is_whole(
    fault: str, count: int, store: ObjectStore, server: FaultyServer
):
    met = times(server, fault, count)
    store.put("a", bytes(1000))
    assert len(met) == count
    assert server.objects("bucket") == {"run/a": bytes(1000)}


def test_a_store_that_stays_away_is_one_line(store: ObjectStore, server: FaultyServer):
    times(server, "error", 10**6)
    with pytest.raises(OutputError, match=r"^s3://bucket/run: the store cannot be reached .* to resume$"):
        store.put("a", b"x")
    assert server.objects("bucket") == {}


def test_refused_credentials_are_one_line_at_once(store: ObjectStore, server: FaultyServer):
    met = times(server, "refused", 10**6)
    with pytest.raises(OutputError, match=r"the store refuses these credentials .*AWS_ACCESS_KEY_ID"):
        store.put("a", b"x")
    assert len(met) == 1


def test_a_bucket_that_vanishes_is_one_line_at_once(store: ObjectStore, server: FaultyServer):
    store.put("a", b"x")
    server.bucket("bucket", "DELETE")
    for work in (lambda: store.put("a", b"x"), store.sizes, lambda: store.get("a"), lambda: store.put_new("b", b"x")):
        with pytest.raises(OutputError, match="s3://bucket/run: the bucket is not there"):
            work()


def test_without_the_package_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(OutputError, match=r"pip install 'blemish\[stores\]'"):
        ObjectStore(RUN)


@pytest.mark.parametrize("text", ["s3://bucket/run", "gs://bucket/a/b/", "az://container/run"])
def test_what_is_an_address(text: str):
    assert output(text) == Address(text.rstrip("/"))


@pytest.mark.parametrize("text", ["out/run", "s3://bucket", "s3://", "ftp://host/run", "hf://datasets/me/run"])
def test_what_is_none(text: str):
    assert output(text) == Path(text)


def test_only_the_first_puts_what_must_be_new(store: ObjectStore):
    tag = store.put_new("a", b"1")
    assert tag
    assert store.put_new("a", b"2") is None
    assert store.replace("a", b"3", '"other"') is None
    assert store.replace("a", b"4", tag)
    assert store.replace("a", b"5", tag) is None
    found = store.get("a")
    assert found is not None
    assert found[0] == b"4"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.1), ("PATIENCE", 1.0), ("LOOK", 0.2)):
        monkeypatch.setattr(store_claim, name, seconds)


@pytest.mark.usefixtures("quick")
def test_one_command_at_a_time(store: ObjectStore, server: FaultyServer, capsys: pytest.CaptureFixture[str]):
    with StoreClaim(store) as claim:
        with pytest.raises(ResumeError, match=r"another command works on this run; .*--engine ray"), StoreClaim(store):
            pass
        claim.check()
    assert server.objects("bucket") == {}
    with StoreClaim(store):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("quick")
def test_a_claim_that_was_left_is_taken_over(store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    store.put(CLAIM, json.dumps({"machine": "another", "pid": 1, "started": "7", "token": "x"}).encode())
    began = time.monotonic()
    with StoreClaim(store):
        assert time.monotonic() - began >= 1.0, "it was not waited for"
    gone = {"machine": store_claim.machine(), "pid": 2**22 + 1, "started": "7", "token": "x"}
    store.put(CLAIM, json.dumps(gone).encode())
    monkeypatch.setattr(store_claim, "PATIENCE", 600.0)
    with StoreClaim(store):
        pass


@pytest.mark.usefixtures("quick")
def test_who_is_taken_over_stops(store: ObjectStore, server: FaultyServer):
    with StoreClaim(store) as claim:
        claim.check()
        store.put(CLAIM, b'{"token": "another"}')
        deadline = time.monotonic() + 10
        while not claim.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(ResumeError, match="another command has taken over"):
            claim.check()
    assert server.objects("bucket") == {"run/claim.json": b'{"token": "another"}'}, "the other's claim stays"


@pytest.mark.usefixtures("quick")
def test_a_renewal_whose_answer_was_lost_is_ours(store: ObjectStore, server: FaultyServer):
    with StoreClaim(store) as claim:
        met = times(server, "lost", 3)
        deadline = time.monotonic() + 10
        while len(met) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        assert not claim.lost
        claim.check()
