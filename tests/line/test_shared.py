"""Runs made together: what differs before the decoder is never shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corruptor.line import shared
from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.shared import Kept, inversion_key, make_runs, open_lines
from shards.errors import ConfigError
from shards.reader import ShardReader
from shards.source import SourceItem
from shards.sources.folder import FolderSource

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


def test_a_later_start_step_is_on_the_way_to_an_earlier_one(
    config_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    base = config_of()

    def start(step: int, method: str = "noised") -> LineConfig:
        injection = replace(base.corruption.injection, method=method, start_step=step)
        return replace(base, corruption=replace(base.corruption, injection=injection))

    configs = {"late": start(48), "direct": start(-1, "direct"), "early": start(46)}
    inverted: list[int] = []
    read: list[int] = []
    invert, load = shared.invert_images, FolderSource.__getitem__

    def counted(backbone: Any, images: Any, prompts: Any, config: Any) -> Any:
        inverted.append(len(images))
        assert config.start_step == 46
        return invert(backbone, images, prompts, config)

    monkeypatch.setattr(shared, "invert_images", counted)
    monkeypatch.setattr(FolderSource, "__getitem__", lambda self, index: read.append(index) or load(self, index))
    make_runs([(config, tmp_path / name) for name, config in configs.items()], 0, 1)
    assert len(read) == len(set(read))
    assert sum(inverted) == len(read)
    for name, config in configs.items():
        make_shards(config, tmp_path / "alone" / name)
        together, alone = ShardReader(tmp_path / name), ShardReader(tmp_path / "alone" / name)
        assert len(together) == len(alone) > 0
        for i in range(len(alone)):
            assert np.abs(together.image(i).astype(int) - alone.image(i).astype(int)).max() <= 1
            assert together.meta(i).corruption.nfe == alone.meta(i).corruption.nfe


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
