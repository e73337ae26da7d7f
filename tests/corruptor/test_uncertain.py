"""Regions where the generator is unsure: real classes at tiny size, in a run and beside one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from corruptor.backbone import Backbone
from corruptor.line.uncertain import UncertainPolicy
from corruptor.spread import spread_of
from region_select.policy import check_policy, open_policy
from shards.errors import ConfigError
from shards.source import SourceItem


def item_of(images: torch.Tensor, row: int) -> SourceItem:
    return SourceItem(image=images[row].numpy(), uri="x", sha256="0" * 64, caption="a red face", set_name="t")


def test_a_mask_by_the_items_own_chance(backbone: Backbone, images: torch.Tensor) -> None:
    policy = open_policy("uncertain", {"region": {"area": 0.2, "limits": {"dilation": 0}}})
    policy.take_generator(backbone.twin())
    items = [item_of(images, row) for row in range(3)]
    together = policy.select(items, [np.random.default_rng(row) for row in range(3)])
    for row, one in enumerate(together):
        assert one.mask is not None
        assert one.mask.mean() == pytest.approx(0.2, abs=0.005)
        alone = policy.select([items[row]], [np.random.default_rng(row)])[0].mask
        assert np.array_equal(one.mask, alone)


def test_the_spread_is_that_of_the_predicted_pictures(backbone: Backbone, images: torch.Tensor) -> None:
    image = images[0].numpy()
    before = backbone.nfe.samples
    found = spread_of(backbone, image, "a face", (25,), 3, np.random.default_rng(5))
    assert backbone.nfe.samples - before == 3
    z0 = backbone.encode(images[:1])
    signal, sigma = backbone.schedule.factors(backbone.schedule.timestep_of(25))
    noise = torch.from_numpy(np.random.default_rng(5).standard_normal((3, *z0.shape[1:]), dtype=np.float32))
    noised = signal * z0 + sigma * noise
    told = backbone.predict_noise(noised, backbone.schedule.timestep_of(25), backbone.embed(["a face"] * 3))
    clean = (noised - sigma * told) / signal
    expected = clean.std(dim=0).mean(dim=0).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.02)  # the sampler's last step ends at abar[0], not at 1
    other = spread_of(backbone, image, "a face", (25,), 3, np.random.default_rng(6))
    assert not np.allclose(found, other)


def test_twins_count_for_themselves(backbone: Backbone, images: torch.Tensor) -> None:
    twin = backbone.twin()
    before = backbone.nfe.samples
    latents = backbone.encode(images)
    twin.predict_noise(latents, 500, twin.embed(["", "", ""]))
    assert (backbone.nfe.samples - before, twin.nfe.samples) == (0, 3)


def test_without_a_generator_it_says_so(images: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"outside a run name one: region\.options\.model=DIR"):
        UncertainPolicy().select([item_of(images, 0)], [np.random.default_rng(0)])
    for wrong, said in (({"steps": [50]}, "steps"), ({"num_draws": 1}, "num_draws"), ({"steps": []}, "steps")):
        with pytest.raises(ConfigError, match=said):
            check_policy("uncertain", wrong)
