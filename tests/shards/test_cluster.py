"""Actors that come and go, on a real Ray cluster of several nodes on this machine, with small work."""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster_work import Heard, Marks
from ray_tools import empty, opened

from shards.arguments import add_engine
from shards.cluster import TAKEN, ClusterError, Demand, connected, demand_of
from shards.crew import run_crew
from shards.errors import ConfigError

NO_RAY = "Ray is not installed (pip install 'blemish[ray]')"


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    with opened(str(Path(__file__).parent)) as made:
        yield made


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The nodes that a test adds go with it."""
    yield head
    empty(head)


def begun(folder: Path) -> int:
    return len(list(folder.glob("*.begun.*")))


def wait_for(folder: Path, pattern: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline, f"no {count} {pattern} in {folder}"
        time.sleep(0.02)


def there(folder: Path, pattern: str, count: int) -> Callable[[], bool]:
    """Whether so many files are there."""
    return lambda: len(list(folder.glob(pattern))) >= count


@pytest.mark.slow
def test_two_actors_do_every_piece_once(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=2)
    heard = Heard()
    demand = Demand(address=cluster.address)
    assert run_crew(partial(Marks, tmp_path, 20), demand, heard) == "20 done"
    assert heard.plan == 20
    assert sorted(heard.pieces) == list(range(20))
    assert (heard.most, heard.lost) == (2, 0)
    assert begun(tmp_path) == 20
    assert run_crew(partial(Marks, tmp_path, 20), demand, Heard()) == "0 done", "what is done is not done again"
    assert begun(tmp_path) == 20


@pytest.mark.slow
def test_a_node_that_is_removed_costs_what_it_had_in_hand(cluster: Any, tmp_path: Path):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    act = partial(cluster.remove_node, nodes[0], allow_graceful=False)
    heard = Heard(act, there(tmp_path, "*.done", 6))
    assert run_crew(partial(Marks, tmp_path, 40, 0.1), Demand(address=cluster.address), heard) == "40 done"
    assert sorted(heard.pieces) == list(range(40))
    assert heard.lost == 1
    assert 40 <= begun(tmp_path) <= 41, "more was made again than the one piece that the lost actor had"


@pytest.mark.slow
def test_a_node_that_joins_gets_an_actor(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=1)
    heard = Heard(partial(cluster.add_node, num_cpus=1), there(tmp_path, "*.done", 3))
    work = partial(Marks, tmp_path, 20, together=2)
    assert run_crew(work, Demand(address=cluster.address), heard) == "20 done"
    assert len(list(tmp_path.glob("opened.*"))) == 2


@pytest.mark.slow
def test_every_node_goes_and_another_comes(cluster: Any, tmp_path: Path):
    node = cluster.add_node(num_cpus=1)

    def act() -> None:
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)

    heard = Heard(act, there(tmp_path, "*.done", 3))
    assert run_crew(partial(Marks, tmp_path, 12, 0.1), Demand(actors=1, address=cluster.address), heard) == "12 done"
    assert heard.lost == 1


def drive(address: str, folder: Path, count: int) -> None:
    run_crew(partial(Marks, folder, count, 0.1), Demand(address=address), Heard())


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_the_same_command(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=2)
    process = multiprocessing.get_context("spawn").Process(target=drive, args=(cluster.address, tmp_path, 30))
    process.start()
    wait_for(tmp_path, "*.done", 5)
    process.kill()
    process.join()
    there = len(list(tmp_path.glob("*.done")))
    heard = Heard()
    assert run_crew(partial(Marks, tmp_path, 30), Demand(address=cluster.address), heard)
    assert len(heard.pieces) <= 30 - there
    assert len(list(tmp_path.glob("*.done"))) == 30
    assert begun(tmp_path) <= 34, "two actors had at most two pieces when they went"


@pytest.mark.slow
def test_a_piece_that_ends_its_actors_is_named(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=1)
    with pytest.raises(ClusterError, match="piece 2: 5 actors were lost at it"):
        run_crew(partial(Marks, tmp_path, 4, 0.0, deadly=2), Demand(address=cluster.address), Heard())
    assert begun(tmp_path) >= 7


@pytest.mark.slow
def test_an_error_of_the_users_is_one_line(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=1)
    with pytest.raises(ClusterError, match=r"^no space left; free some$"):
        run_crew(partial(Marks, tmp_path, 4, 0.0, wrong=1), Demand(address=cluster.address), Heard())


@pytest.mark.slow
def test_actors_that_cannot_open_end_the_run(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=1)
    with pytest.raises(ClusterError, match=r"5 actors in a row .* while opening .*a card fell off the bus"):
        run_crew(partial(Marks, tmp_path, 4, fails="open"), Demand(address=cluster.address), Heard())


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        ({"gpus": 1.0}, r"each asks for 1 CPU and 1 GPU, and the cluster has 2 machines with 1 CPU .* 0 GPU"),
        ({"cpus": 64.0}, r"each asks for 64 CPU, and .* 1 CPU \(1 free\)"),
    ],
)
def test_what_is_missing_is_said_and_nothing_hangs(
    cluster: Any, tmp_path: Path, demand: dict[str, float], message: str
):
    cluster.add_node(num_cpus=1)
    began = time.monotonic()
    with pytest.raises(ClusterError, match=message):
        run_crew(partial(Marks, tmp_path, 4), Demand(wait=3.0, address=cluster.address, **demand), Heard())
    assert time.monotonic() - began < 30


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in TAKEN]


@pytest.mark.parametrize("address", ["127.0.0.1:9", ""])
def test_handlers_of_signals_are_as_before(cluster: Any, address: str):
    """Those of Python, and that they are really called: Ray puts handlers in C++ below them."""
    heard: list[int] = []
    tells = faulthandler.is_enabled()
    before = handlers()
    with suppress(ClusterError), connected(Demand(address=address or cluster.address)):
        pass
    assert handlers() == before
    old = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        mine = handlers()
        with suppress(ClusterError), connected(Demand(address=address or cluster.address)):
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
        assert handlers() == mine
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] * (1 + (not address))
    finally:
        signal.signal(signal.SIGTERM, old)
    assert faulthandler.is_enabled() == tells


def test_a_cluster_that_is_not_there(tmp_path: Path):
    pytest.importorskip("ray", reason=NO_RAY)
    with pytest.raises(ClusterError, match=r"the Ray cluster 127\.0\.0\.1:9 cannot be reached .* check --address"):
        run_crew(partial(Marks, tmp_path, 4), Demand(address="127.0.0.1:9"), Heard())


def test_without_ray_the_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'blemish\[ray\]'"):
        run_crew(partial(Marks, tmp_path, 4), Demand(), Heard())


@pytest.mark.parametrize("words", [{"actors": -1}, {"cpus": -1.0}, {"gpus": -0.5}, {"cpus": 0.0}, {"wait": 0.0}])
def test_a_demand_that_cannot_be(words: dict[str, Any]):
    with pytest.raises(ConfigError, match="none may be negative"):
        Demand(**words)


def test_what_the_command_line_asks_for():
    parser = argparse.ArgumentParser()
    add_engine(parser)
    assert demand_of(parser.parse_args([]), None) is None
    asked = parser.parse_args(["--engine", "ray", "--actors", "8", "--actor-cpus", "4", "--wait", "600"])
    assert demand_of(asked, None) == Demand(8, 4.0, None, 600.0)
    assert demand_of(asked, True) == Demand(8, 4.0, 1.0, 600.0)
    assert demand_of(asked, False) == Demand(8, 4.0, 0.0, 600.0)
