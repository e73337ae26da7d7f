"""Small sets of shards, and a small detector trained once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from red_squares import TINY_SWIN, write_squares

TINY = (*TINY_SWIN, "state_every=2")


@pytest.fixture
def squares() -> Callable[..., Path]:
    return write_squares


@pytest.fixture
def overrides() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny training with validation."""
    from detector.config import load_config
    from detector.train import Job, train

    folder = tmp_path_factory.mktemp("trained")
    config = load_config("configs/detector/swin_mini.py", TINY, 4)
    shards = write_squares(folder / "shards", 16)
    train(Job(config, "swin_mini", folder / "out", (str(shards),), (str(shards),)))
    return folder / "out"
