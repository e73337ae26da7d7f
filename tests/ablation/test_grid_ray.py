"""A grid on a real Ray cluster: the figures of a single process, whatever machines come and go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray_tools import empty, opened

sys.path.append(str(Path(__file__).parent))
from ablation_tools import SHAM, grid_values, make_pipeline, write_grid

from ablation.__main__ import main
from ablation.cluster import ClusterSlots
from shards.same_folder import TOKEN

pytestmark = pytest.mark.slow
TIMES = ("seconds", "cpu_seconds")


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    with opened() as made:
        yield made


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    yield head
    empty(head)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    arms = [
        {"name": "masks", "set": SHAM},
        {"name": "corrupted"},
        {"name": "selected", "selector": "labels", "set": ["region.options.fallback='hottest'"]},
        {"name": "greedy", "samples": 1000},
    ]
    return write_grid(folder / "grid.py", grid_values(make_pipeline(folder / "tiny"), arms=arms))


def rows_of(out: Path) -> list[dict[str, Any]]:
    told = json.loads((out / "rows.json").read_text())
    return [{name: value for name, value in row.items() if name not in TIMES} for row in told["rows"]]


def test_the_figures_are_those_of_one_process(
    cluster: Any, grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert main([str(grid), "--out", str(tmp_path / "alone"), "--processes", "1"]) == 1
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    finished, gone = ClusterSlots.finished, []

    def removing(self: ClusterSlots) -> Any:
        """In the driver's thread: one of two machines goes while a task is under way on each."""
        if not gone and len(self.running) == 2 and all(one.has_place for one in self.running):
            gone.append(nodes[0])
            cluster.remove_node(nodes[0], allow_graceful=False)
        return finished(self)

    monkeypatch.setattr(ClusterSlots, "finished", removing)
    words = [str(grid), "--out", str(tmp_path / "many"), "--engine", "ray", "--address", cluster.address]
    assert main(words) == 1
    assert gone
    assert rows_of(tmp_path / "many") == rows_of(tmp_path / "alone")
    assert len(rows_of(tmp_path / "many")) == 3 * 2
    failed = json.loads((tmp_path / "many" / "rows.json").read_text())["failed"]
    assert list(failed) == ["greedy"]
    assert "1000 samples are asked for" in failed["greedy"]
    assert not (tmp_path / "many" / TOKEN).exists()


def test_what_cannot_be_done_is_one_line(cluster: Any, grid: Path, tmp_path: Path, capsys: Any, monkeypatch: Any):
    words = [str(grid), "--out", str(tmp_path / "out"), "--engine", "ray", "--address", cluster.address]
    assert main([*words, "--processes", "2"]) == 2
    assert "with --engine ray it is --actors" in capsys.readouterr().err
    assert main([*words, "--wait", "2"]) == 2
    assert "no actor could be placed" in capsys.readouterr().err
    cluster.add_node(num_cpus=1)
    monkeypatch.setattr("ablation.cluster.write_token", lambda out: "of another folder")
    assert main(words) == 2
    assert "is not the folder that other machines of the cluster see" in capsys.readouterr().err


def test_a_task_that_ends_its_actors_fails_and_the_others_go_on(cluster: Any, grid: Path, tmp_path: Path):
    cluster.add_node(num_cpus=2)
    import ray

    from shards.cluster import Demand, connected

    logs = tmp_path / "logs"
    with connected(Demand(address=cluster.address)):
        slots = ClusterSlots(ray, Demand(), tmp_path, partial(deadly, tmp_path), logs)
        slots.begin("bad", "bad")
        slots.begin("good", "good")
        told: dict[str, str] = {}
        while slots.running:
            told |= dict(slots.finished())
        slots.stop()
    assert told["good"] == ""
    assert told["bad"].startswith("5 actors were lost at it, the last: ")
    assert (tmp_path / "bad").read_text() == "x" * 5
    assert "said good" in (logs / "good.log").read_text()


def deadly(folder: Path, task: str) -> None:
    import os

    with (folder / task).open("a") as file:
        file.write("x")
    print(f"said {task}", flush=True)
    if task == "bad":
        os._exit(1)
