"""`detect predict` on a real Ray cluster: the files and the table of a single process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ray_tools import opened

from detector.distribute import predict_on
from detector.predict import Options, predict
from shards.cluster import Demand
from shards.config import INSTALLED
from shards.errors import ResumeError

WEIGHTS = INSTALLED / "region_select" / "weights" / "swin_mini.safetensors"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with opened() as made:
        yield made


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_files_are_those_of_one_process(cluster: Any, tmp_path: Path):
    cluster.add_node(num_cpus=2)
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(19):  # three pieces of eight batches, the last one short
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number:02d}.png")
    (folder / "zz.png").write_bytes(b"no picture at all")
    options = Options(batch=1, device="cpu")
    alone = predict(WEIGHTS, str(folder), tmp_path / "alone", options)
    demand = Demand(address=cluster.address)
    found = predict_on(demand, WEIGHTS, str(folder), tmp_path / "many", options)
    assert found.rows == alone.rows
    assert found.rejects == alone.rejects
    assert files(tmp_path / "many") == files(tmp_path / "alone")
    with pytest.raises(ResumeError, match="threshold"):
        predict_on(demand, WEIGHTS, str(folder), tmp_path / "many", Options(threshold=0.7, batch=1, device="cpu"))
