"""A tiny model of each family goes through `make shards`' command and `check`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import make_sd, make_sdxl

from corruptor.__main__ import main
from shards.check import check_run
from shards.reader import ShardReader

MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd1": make_sd,
    "sd2": partial(make_sd, second=True),
    "sd2-v": partial(make_sd, second=True, prediction_type="v_prediction"),
    "sdxl": make_sdxl,
    "sdxl-turbo": partial(make_sdxl, spacing="trailing"),
}
NUM_PICTURES = 5


@pytest.mark.parametrize("family", MAKERS)
def test_a_model_of_the_family_makes_shards(family: str, tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(NUM_PICTURES):
        pixels = rng.integers(0, 256, (40, 36, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
        (tmp_path / "pictures" / f"{number}.txt").write_text("a red car")
    model, out = MAKERS[family](tmp_path / "model"), tmp_path / "run"
    grid = ["corruption.num_grid_steps=4", "corruption.injection.start_step=3"]
    values = [
        f"source.options.root={str(tmp_path / 'pictures')!r}", f"model.folder={str(model)!r}", "size.size=32",
        "corruption.verification.policy='keep'", "samples.clean_share=0.4", "compute.batch_size=2",
        *(grid if family == "sdxl-turbo" else ["corruption.injection.start_step=47"]),
    ]  # fmt: skip
    words = [word for value in values for word in ("--set", value)]
    assert main(["shards", "configs/shards/folder.py", "--out", str(out), *words]) == 0
    assert check_run(out).problems == []
    samples = list(ShardReader(out, cache=False))
    assert len(samples) == NUM_PICTURES
    damaged = [sample for sample in samples if sample.mask.any()]
    assert 0 < len(damaged) < NUM_PICTURES
    for sample in damaged:
        assert sample.source is not None
        changed = np.abs(sample.image.astype(int) - sample.source.astype(int)).mean(-1)
        # Random weights spread a change further than trained ones.
        assert changed[sample.mask == 1].mean() > changed[sample.mask == 0].mean()
