"""Tiny models and pictures as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import make_pipeline

from corruptor.backbone import Backbone, load_backbone


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def backbone(model_folder: Path) -> Backbone:
    return load_backbone(model_folder)


@pytest.fixture(scope="session")
def v_backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(make_pipeline(tmp_path_factory.mktemp("models") / "v", prediction_type="v_prediction"))


@pytest.fixture
def images() -> torch.Tensor:
    """Three smooth images, uint8 (3, 32, 32, 3)."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    planes = [torch.stack([(x * k) % 256, (y * 7) % 256, (x + y) * k % 256], dim=-1) for k in (2, 4, 7)]
    return torch.stack(planes).to(torch.uint8)


@pytest.fixture
def masks() -> torch.Tensor:
    """Two components, none, one with ignored pixels: uint8 (3, 32, 32)."""
    result = torch.zeros(3, 32, 32, dtype=torch.uint8)
    result[0, 4:12, 4:12] = 1
    result[0, 20:31, 20:23] = 1
    result[2, 8:24, 8:24] = 1
    result[2, 0:4] = 255
    return result
