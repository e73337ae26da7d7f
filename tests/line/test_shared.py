"""Runs made together: what differs before the decoder is never shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.shared import Kept, inversion_key, make_runs, open_lines
from shards.errors import ConfigError
from shards.reader import ShardReader
from shards.source import SourceItem

ConfigOf = Callable[..., LineConfig]


def item(caption: str = 'a sign that reads "STOP"', side: int = 8) -> SourceItem:
    return SourceItem(np.zeros((side, side, 3), np.uint8), "a.png", "0" * 64, caption)


def test_an_inversion_is_named_by_all_it_depends_on(config_of: ConfigOf):
    config = config_of()
    spelt = replace(config, samples=replace(config.samples, misspell=True))
    unprompted = replace(config, samples=replace(config.samples, use_captions=False))
    shorter = replace(config, corruption=replace(config.corruption, num_grid_steps=49))
    keys = [inversion_key(item(), one) for one in (config, spelt, unprompted, shorter)]
    assert len({*keys, inversion_key(item(side=16), config), inversion_key(item("another"), config)}) == 6
    pasted = replace(config, corruption=replace(config.corruption, paste_back=True), seed=7)
    assert inversion_key(item(), pasted) == keys[0]


def test_runs_that_differ_in_the_prompt_share_no_inversion(config_of: ConfigOf, tmp_path: Path):
    config = config_of()
    unprompted = replace(config, samples=replace(config.samples, use_captions=False))
    runs = [(config, tmp_path / "prompted"), (unprompted, tmp_path / "unprompted")]
    make_runs(runs, 0, 1)
    for one, folder in runs:
        make_shards(one, tmp_path / "alone" / folder.name)
        together, alone = ShardReader(folder), ShardReader(tmp_path / "alone" / folder.name)
        assert len(together) == len(alone) > 0
        for i in range(len(alone)):
            twin, other = together.image(i).astype(int), alone.image(i).astype(int)
            assert np.abs(twin - other).max() <= 1
            assert together.meta(i).corruption.prompt == alone.meta(i).corruption.prompt


def test_runs_of_two_models_are_refused(config_of: ConfigOf, tmp_path: Path, tiny_model: Path):
    config = config_of()
    other = replace(config, model=replace(config.model, channels_last=not config.model.channels_last))
    with pytest.raises(ConfigError, match="one model"):
        open_lines([(config, tmp_path / "a"), (other, tmp_path / "b")], Kept())


def test_the_inversion_benchmark_prompts_as_the_line_does(config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch):
    from benchmarks import psnr_nfe

    config: Any = config_of()
    config = replace(config, samples=replace(config.samples, prompt="a photo of {caption}"))
    _, prompts = psnr_nfe.load_images(replace(config, size=replace(config.size, policy="crop", size=32)), 4)
    assert "a photo of red car at top" in prompts
