"""One tiny training for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from red_squares import TINY_SWIN, write_squares

from region_select.train import train_selector


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled shards: 16 pictures, 8 of them broken."""
    return write_squares(tmp_path_factory.mktemp("labels") / "run")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """The folder of a finished training with validation."""
    folder = tmp_path_factory.mktemp("selector")
    val = write_squares(folder / "val", 8, first=100)
    train_selector(
        "configs/region_select/swin_mini.py",
        [squares],
        folder / "out",
        [val],
        overrides=(*TINY_SWIN, "optim_wrapper.optimizer.lr=3e-3"),
        iterations=40,
    )
    return folder / "out"
