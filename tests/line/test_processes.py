"""Many processes in one run: who is who, and bytes that do not depend on how many there were or which of them died."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, tree
from line_work import work

from corruptor.line.processes import Place, find_place
from shards.config import INSTALLED
from shards.errors import ConfigError

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
TASKS = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "3"}


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, Place(0, 1, 0)),
        (TORCHRUN, Place(5, 16, 1)),
        (TASKS, Place(3, 4, 1)),
        ({**ARRAY, "SLURM_ARRAY_TASK_STEP": "2"}, Place(2, 3, 0)),
        ({**TASKS, **ARRAY, "SLURM_ARRAY_TASK_STEP": "2"}, Place(2 * 4 + 3, 12, 1)),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "17"}, Place(1, 3, 0)),
        ({"RANK": "3"}, Place(0, 1, 0)),
    ],
)
def test_what_launchers_say(environ: dict[str, str], place: Place):
    assert find_place(environ=environ) == place


def test_what_is_given_counts_before_what_launchers_say():
    assert find_place(2, 3, TORCHRUN) == Place(2, 3, 1)


@pytest.mark.parametrize(
    ("rank", "num_processes", "environ", "message"),
    [
        (3, 3, {}, "rank 3 of 3 processes"),
        (1, None, {}, "belong together"),
        (None, None, {"RANK": "x", "WORLD_SIZE": "2"}, "RANK='x' in the environment"),
        (None, None, {"RANK": "2", "WORLD_SIZE": "2"}, "stay below"),
    ],
)
def test_what_does_not_fit(rank: int | None, num_processes: int | None, environ: dict[str, str], message: str):
    with pytest.raises(ConfigError, match=message):
        find_place(rank, num_processes, environ)


class Crew:
    """Processes of one run."""

    def __init__(self, values: dict[str, Any]) -> None:
        # A server that has imported everything forks each process, so that kills fall into work, not into imports.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["corruptor.line.run", "corruptor.line.command"])
        self.values = values

    def start(self, out: Path, num_processes: int) -> list[Any]:
        arguments = [(self.values, out, rank, num_processes) for rank in range(num_processes)]
        processes = [self.context.Process(target=work, args=one) for one in arguments]
        for process in processes:
            process.start()
        return processes

    def run(self, out: Path, num_processes: int) -> None:
        processes = self.start(out, num_processes)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * num_processes


@pytest.fixture(scope="module")
def crew(pictures: Path, tiny_model: Path) -> Crew:
    return Crew(line_values(pictures, tiny_model, samples={"sources_per_shard": 1, "clean_share": 0.3}))


@pytest.fixture(scope="module")
def reference(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The run of a single process."""
    out = tmp_path_factory.mktemp("processes") / "one"
    crew.run(out, 1)
    return tree(out)


def wait_for_shards(out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list((out / "shards").glob("*.stats.json"))) < count:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.005)


@pytest.mark.parametrize("num_processes", [2, 4])
def test_any_number_of_processes_gives_the_same_bytes(
    num_processes: int, crew: Crew, reference: dict[str, str], tmp_path: Path
):
    crew.run(tmp_path / "run", num_processes)
    assert tree(tmp_path / "run") == reference


def test_what_a_killed_process_leaves_the_others_make(crew: Crew, reference: dict[str, str], tmp_path: Path):
    processes = crew.start(tmp_path / "run", 4)
    wait_for_shards(tmp_path / "run", 1)
    processes[1].kill()
    for process in processes:
        process.join()
    if "sheet.png" not in tree(tmp_path / "run"):
        # It was at the last shards, and the others had gone: what it held is free for the same command.
        crew.run(tmp_path / "run", 1)
    assert tree(tmp_path / "run") == reference


def test_a_run_goes_on_with_another_number_of_processes(crew: Crew, reference: dict[str, str], tmp_path: Path):
    out = tmp_path / "run"
    for num_processes, shards in ((2, 1), (4, 4), (3, 7)):
        processes = crew.start(out, num_processes)
        wait_for_shards(out, shards)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        published = {name: digest for name, digest in tree(out).items() if name.endswith((".tar", "stats.json"))}
        assert published.items() <= reference.items(), "a file under a final name differs"
    crew.run(out, 2)
    assert tree(out) == reference


def test_two_commands_of_different_size_at_once(crew: Crew, reference: dict[str, str], tmp_path: Path):
    processes = crew.start(tmp_path / "run", 1) + crew.start(tmp_path / "run", 3)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert tree(tmp_path / "run") == reference


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_launchers(launcher: str, crew: Crew, reference: dict[str, str], tmp_path: Path):
    """The command as the documentation has it, two processes on the CPU."""
    config = tmp_path / "quick.py"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in crew.values.items()))
    scripts = Path(sys.executable).parent
    command = {
        "torchrun": [str(scripts / "torchrun"), "--nproc_per_node", "2"],
        "accelerate": [str(scripts / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2"],
    }[launcher]
    line = [*command, "-m", "corruptor", "shards", str(config), "--out", str(tmp_path / "run")]
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    done = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "12 samples" in done.stdout
    assert "of 2: " in done.stdout or done.stdout.count("12 samples") == 2, "it was one process"
    assert tree(tmp_path / "run") == reference
