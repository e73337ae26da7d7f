"""A tiny pipeline of real classes, as a folder and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from front_tools import make_front_model

from blemish import Corruptor
from corruptor.backbone import Backbone  # noqa: F401  loads transformers, whose log goes to the stderr of that moment
from corruptor.config import CorruptionConfig, InjectionConfig, InversionConfig, VerificationConfig


@pytest.fixture(scope="session")
def front_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_front_model(tmp_path_factory.mktemp("front") / "tiny")


@pytest.fixture(scope="session")
def quick() -> CorruptionConfig:
    """Two noise steps; every region that changed at all is kept."""
    return CorruptionConfig(
        inversion=InversionConfig(warm_passes=(1,)),
        injection=InjectionConfig(start_step=48),
        verification=VerificationConfig(threshold=0.0),
    )


@pytest.fixture(scope="session")
def corruptor(front_model: Path, quick: CorruptionConfig) -> Corruptor:
    return Corruptor.from_pretrained(front_model, device="cpu", config=quick, batch_size=2)


@pytest.fixture
def picture() -> Any:
    """uint8 32 x 48 x 3, smooth; sides multiples of 8, the tiny model's."""
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([x * 5 % 256, y * 7 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8)


@pytest.fixture
def mask() -> Any:
    """bool 32 x 48 with a square of 12 x 12."""
    found = np.zeros((32, 48), bool)
    found[8:20, 12:24] = True
    return found
