"""The training folder: another configuration, damage, a kill in the middle of saving, a full disk."""

from __future__ import annotations

import builtins
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from miniworld import state
from miniworld.recipe import Recipe

# Saves numbered states for ever; every tensor of a state holds its number.
SAVER = """
import sys, pathlib, torch
from miniworld import state
torch.set_num_threads(1)
path = pathlib.Path(sys.argv[1])
n = 0
while True:
    n += 1
    state.save(path, {"n": n, "weights": torch.full((400_000,), float(n))})
    print(n, flush=True)
"""


def test_other_configuration_is_refused_naming_the_field(tmp_path: Path) -> None:
    state.claim(tmp_path / "work", Recipe())
    state.claim(tmp_path / "work", Recipe())
    with pytest.raises(state.StateError, match=r"seed = 7 there, 8 here.*--work") as caught:
        state.claim(tmp_path / "work", replace(Recipe(), seed=8))
    assert "\n" not in str(caught.value)


def test_state_survives(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    assert state.load(path) is None
    state.save(path, {"step": 3, "w": torch.arange(4)})
    known = state.load(path)
    assert known is not None
    assert known["step"] == 3
    assert torch.equal(known["w"], torch.arange(4))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt"]


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_damaged_state_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.pt"
    state.save(path, {"w": torch.zeros(1000)})
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"noise" * 99}[damage])
    with pytest.raises(state.StateError, match="is damaged"):
        state.load(path)


def test_kill_while_saving_keeps_a_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for wait in (0.0, 0.004, 0.013):
        child = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(3):
            said = int(child.stdout.readline())
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        known = state.load(path)
        assert known is not None
        assert known["n"] >= said
        assert (known["weights"] == float(known["n"])).all()


class FullDisk:
    """A file that takes some bytes and then says that the disk is full."""

    def __init__(self, path: Any, room: int) -> None:
        self._file, self._room = builtins.open(path, "wb"), room  # noqa: SIM115

    def write(self, data: Any) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("room", [0, 500, 20_000])
def test_full_disk_keeps_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    path = tmp_path / "a.pt"
    state.save(path, {"n": 1})
    monkeypatch.setattr(state, "open", lambda p, mode: FullDisk(p, room), raising=False)
    with pytest.raises(state.StateError, match="no space left") as caught:
        state.save(path, {"n": 2, "w": torch.zeros(100_000)})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert state.load(path) == {"n": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt"]
