"""A tiny segmenter, written once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_network


@pytest.fixture(scope="session")
def segmenter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network.folder(tmp_path_factory.mktemp("segmenter") / "tiny")
