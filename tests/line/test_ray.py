"""A run on a real Ray cluster: the bytes of one process, whatever machines come and go."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, run_again, terminated, tree
from ray_tools import empty, opened
from s3_server import FaultyServer

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.distribute import Watcher, distribute
from shards.cluster import ClusterError, Demand
from shards.config import make_config
from shards.status import status_of
from shards.stores import Address

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    with opened() as made:
        yield made


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The nodes that a test adds go with it."""
    yield head
    empty(head)


@pytest.fixture(scope="module")
def config(pictures: Path, tiny_model: Path) -> LineConfig:
    return make_config(line_values(pictures, tiny_model, samples={"sources_per_shard": 1}), LineConfig)


@pytest.fixture(scope="module")
def reference(config: LineConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The run of a single process."""
    out = tmp_path_factory.mktemp("ray") / "one"
    make_shards(config, out)
    return tree(out)


def test_machines_come_and_go_and_the_bytes_are_those_of_one_process(
    cluster: Any, config: LineConfig, reference: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    nodes = [cluster.add_node(num_cpus=1)]
    crew = Watcher.crew

    def move(self: Watcher, actors: int, lost: int) -> None:
        """In the driver's thread, where machines can be added."""
        if len(nodes) == 1 and len(list((out / "shards").glob("*.stats.json"))) >= 2:
            cluster.remove_node(nodes[0], allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
        crew(self, actors, lost)

    monkeypatch.setattr(Watcher, "crew", move)
    words = distribute(config, out, Demand(actors=1, address=cluster.address))
    assert tree(out) == reference
    assert "12 samples: " in words
    assert "1 actors were lost" in words
    assert status_of(out).state == "finished"
    assert status_of(out).processes[0].state == "finished"
    # complete: nothing is made again
    words = distribute(config, out, Demand(actors=1, address=cluster.address))
    assert "nothing left to do" in words
    assert tree(out) == reference


def test_two_actors_and_an_object_store(
    cluster: Any,
    server: FaultyServer,
    config: LineConfig,
    reference: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Each actor makes its shards on its own disk; none needs to be shared."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    cluster.add_node(num_cpus=2)  # its processes have the credentials of their machine
    words = distribute(config, Address("s3://bucket/run"), Demand(address=cluster.address))
    assert "in s3://bucket/run" in words
    made = {name.removeprefix("run/"): data for name, data in server.objects("bucket").items()}
    told = [name for name in reference if not name.startswith(("sheet.png", "view/", "."))]
    assert {name: hashlib.sha256(made[name]).hexdigest() for name in told} == {name: reference[name] for name in told}
    shards = sorted(name for name in made if name.startswith("shards/"))
    assert shards == [name for name in told if name.startswith("shards/")]
    assert "claim.json" not in made


def test_what_the_user_must_mend_is_one_line(cluster: Any, config_of: Callable[..., LineConfig], tmp_path: Path):
    cluster.add_node(num_cpus=1)
    config = config_of(model={"folder": str(tmp_path / "none")})
    with pytest.raises(ClusterError, match=r"no model folder .*none: give a folder"):
        distribute(config, tmp_path / "run", Demand(address=cluster.address))


def test_a_driver_that_is_terminated(cluster: Any, pictures: Path, tiny_model: Path, tmp_path: Path):
    """Ends as a run of one process does, and the same command goes on."""
    cluster.add_node(num_cpus=1)
    config, out = tmp_path / "quick.py", tmp_path / "run"
    values = line_values(pictures, tiny_model, samples={"sources_per_shard": 1})
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    command = [sys.executable, "-m", "corruptor", "shards", str(config), "--out", str(out), "--engine", "ray"]
    command += ["--address", cluster.address]
    said = terminated(command, out)
    closing = r"(.*\n)*stopped by SIGTERM at \d+ of 12 images; complete shards are kept, and the same command .*\n"
    assert re.fullmatch(closing, said), said
    assert "stack trace" not in said
    run_again(command, out)
