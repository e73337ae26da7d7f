"""Processes side by side: each fails alone, sees its own card, and writes its own log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from side_by_side import in_a_process

from ablation.processes import Slots


def test_processes_fail_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    slots = Slots(2, in_a_process, tmp_path / "logs", cards=2)
    outcomes: dict[str, str] = {}
    waiting = ["good", "user", "bug", "killed"]
    began = time.monotonic()
    while waiting or slots.running:
        assert time.monotonic() - began < 120
        while waiting and slots.has_room():
            task = waiting.pop(0)
            assert slots.begin(task, task) is None
        outcomes.update(slots.finished())
    assert outcomes["good"] == ""
    assert outcomes["user"] == "not so"
    assert outcomes["bug"].startswith("KeyError: 'x' (see ")
    assert "Traceback" in (tmp_path / "logs" / "bug.log").read_text()
    assert outcomes["killed"] == "its process ended by signal 9; was memory short?"
    assert (tmp_path / "logs" / "good.log").read_text() == "1 4\n"
