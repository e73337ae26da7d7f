"""The line's tiny model and pictures as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_tools import line_values, make_pictures, make_pipeline

from corruptor.line.config import LineConfig
from shards.config import make_config


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("line") / "tiny")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("line") / "pictures")


@pytest.fixture
def config_of(pictures: Path, tiny_model: Path) -> Callable[..., LineConfig]:
    """LineConfig of a quick run with some groups of values replaced."""

    def make(**changes: Any) -> LineConfig:
        return make_config(line_values(pictures, tiny_model, **changes), LineConfig)

    return make
