"""The training folder: another configuration, damage, a kill in the middle of saving, a full disk."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from miniworld.generator import state
from miniworld.generator.recipe import Recipe
from miniworld.generator.training import scene_bank
from shards.errors import OutputError


def save_for_ever(path: Path, said: int) -> None:
    """Save numbered states until killed and tell each number to `said`; a state's tensor holds its number too."""
    torch.set_num_threads(1)
    for n in itertools.count(1):
        state.save(path, {"n": n, "weights": torch.full((400_000,), float(n))})
        os.write(said, n.to_bytes(4, "little"))


def test_other_configuration_is_refused_naming_the_field(tmp_path: Path) -> None:
    state.claim(tmp_path / "work", Recipe())
    state.claim(tmp_path / "work", Recipe())
    with pytest.raises(state.StateError, match=r"seed: 7 there, 8 now.*--work") as caught:
        state.claim(tmp_path / "work", replace(Recipe(), seed=8))
    assert "\n" not in str(caught.value)


def test_a_damaged_stamp_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(state.StateError, match=r"config.json is damaged"):
        state.claim(tmp_path, Recipe())


def test_damaged_scenes_are_a_clear_error_and_good_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "scenes.npy"
    bank = scene_bank(3, path)
    assert bank.shape == (3, 64, 64, 3)
    assert (scene_bank(2, path) == bank[:2]).all()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(state.StateError, match=r"scenes.npy is damaged"):
        scene_bank(3, path)


def test_what_a_killed_save_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "unet.pt.other.partial").write_bytes(b"half")
    state.claim(tmp_path, Recipe())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json"]


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


@pytest.mark.parametrize("wait", [0.0, 0.001, 0.004, 0.013])
def test_kill_while_saving_keeps_a_whole_state(tmp_path: Path, wait: float) -> None:
    path = tmp_path / "a.pt"
    heard, said = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(path, said), daemon=True)
    child.start()
    for _ in range(3):
        last = int.from_bytes(os.read(heard, 4), "little")
    time.sleep(wait)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    os.close(heard)
    os.close(said)
    assert child.exitcode == -signal.SIGKILL
    known = state.load(path)
    assert known is not None
    assert known["n"] >= last
    assert (known["weights"] == float(known["n"])).all()


class FullDisk:
    """A file that takes some bytes and then says that the disk is full."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: Any) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 500, 20_000])
def test_full_disk_keeps_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    path = tmp_path / "a.pt"
    state.save(path, {"n": 1})
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *rest: FullDisk(real_open(self, mode, *rest), room))
    with pytest.raises(OutputError, match="no space left") as caught:
        state.save(path, {"n": 2, "w": torch.zeros(100_000)})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert state.load(path) == {"n": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt"]
