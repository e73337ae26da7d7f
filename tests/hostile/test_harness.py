"""The harness itself: it fails where a command misbehaves."""

from __future__ import annotations

import sys
import time
import types

import pytest
from harness import batches, run, run_apart
from mutate import mutated, mutated_json

from shards.errors import ConfigError, run_cli


@pytest.fixture
def command(monkeypatch):
    """A package `fake` whose main is given."""

    def give(main):
        module = types.ModuleType("fake.__main__")
        module.main = main
        monkeypatch.setitem(sys.modules, "fake", types.ModuleType("fake"))
        monkeypatch.setitem(sys.modules, "fake.__main__", module)

    return give


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (lambda argv: fail(RecursionError("deep")), "RecursionError: deep"),
        (lambda argv: 1, "exit 1"),
        (lambda argv: 2, "not one line"),
        (lambda argv: time.sleep(5), "Hang"),
        (lambda argv: sum(range(20_000_000)) * 0, "s of the processor"),
        (lambda argv: open("elsewhere", "w").close(), "changed outside of OUT"),
        (lambda argv: open("seen2", "w").close(), "changed outside of OUT"),
        (lambda argv: open("CANARY", "w").close(), "code was run"),
    ],
)
def test_misbehaviour_fails(command, tmp_path, main, message):
    command(main)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=message):
        run(["fake"], tmp_path, out="seen", seconds=0.1, hang=3.0)


def test_what_is_right_passes(command, tmp_path):
    command(lambda argv: run_cli(lambda: fail(ConfigError("--n is 0; 1 or more is allowed"))))
    assert run(["fake"], tmp_path).err == "error: --n is 0; 1 or more is allowed\n"
    command(lambda argv: (tmp_path / "seen").mkdir() or (tmp_path / "seen" / "x").write_text("") or 0)
    assert run(["fake"], tmp_path, out="seen").code == 0
    done = run_apart(["shards", "check", "nothing"], tmp_path)
    assert done.code == 2
    assert done.megabytes > 5


def test_mutations_depend_on_the_seed_alone():
    data = bytes(range(256)) * 8
    assert mutated(data, 3) == mutated(data, 3)
    assert len({mutated(data, seed) for seed in range(50)}) > 45
    assert mutated_json({"a": [1, {"b": 2}]}, 1) == mutated_json({"a": [1, {"b": 2}]}, 1)
    assert [len(param.values[0]) for param in batches(30, 60)] == [25, 5, 25, 5]
