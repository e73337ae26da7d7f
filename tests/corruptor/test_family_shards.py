"""A tiny model of each family goes through `make shards`' command and `check`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_flow import make_flux, make_flux2, make_qwen, make_sd3
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
    "sd3": make_sd3,
    "flux-dev": make_flux,
    "flux-schnell": partial(make_flux, dev=False),
    "flux2-klein": make_flux2,
    "qwen": make_qwen,
}
GRIDS = {"sdxl-turbo": (4, 3), "flux-schnell": (4, 3), "flux-dev": (50, 43), "flux2-klein": (16, 15)}
"""Grid steps and start step of models whose grid is another; (50, 47) for others."""
FLOW = ("sd3", "flux-dev", "flux-schnell", "flux2-klein", "qwen")
NUM_PICTURES = 5


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow if name in ("flux-schnell", "sd3") else ()) for name in MAKERS]
)
def test_a_model_of_the_family_makes_shards(family: str, tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(NUM_PICTURES):
        pixels = rng.integers(0, 256, (40, 36, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
        (tmp_path / "pictures" / f"{number}.txt").write_text("a red car")
    model, out = MAKERS[family](tmp_path / "model"), tmp_path / "run"
    steps, start = GRIDS.get(family, (50, 47))
    values = [
        f"source.options.root={str(tmp_path / 'pictures')!r}", f"model.folder={str(model)!r}", "size.size=32",
        "corruption.verification.policy='keep'", "samples.clean_share=0.4", "compute.batch_size=2",
        f"corruption.num_grid_steps={steps}", f"corruption.injection.start_step={start}",
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
    if family in FLOW:
        assert main(["remake", str(out), damaged[0].key]) == 0


def test_prompts_that_are_cut_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And said in the samples that have one."""
    (tmp_path / "pictures").mkdir()
    for number, caption in enumerate(["a red car", "a red car " * 20]):
        Image.new("RGB", (32, 32), (number * 80, 90, 200)).save(tmp_path / "pictures" / f"{number}.png")
        (tmp_path / "pictures" / f"{number}.txt").write_text(caption)
    model, out = make_sd(tmp_path / "model"), tmp_path / "run"
    values = [
        f"source.options.root={str(tmp_path / 'pictures')!r}", f"model.folder={str(model)!r}", "size.size=32",
        "corruption.verification.policy='keep'", "samples.clean_share=0.0", "corruption.injection.start_step=48",
    ]  # fmt: skip
    words = [word for value in values for word in ("--set", value)]
    assert main(["shards", "configs/shards/folder.py", "--out", str(out), *words]) == 0
    assert "1 samples have a prompt that is longer than the model's text encoders take" in capsys.readouterr().out
    told = {sample.meta.source.uri[-5:]: sample.meta.extra for sample in ShardReader(out, cache=False)}
    assert ("prompt_cut" in told["0.png"], told["1.png"]["prompt_cut"]) == (False, True)
