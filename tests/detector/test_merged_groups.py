"""Groups of parameters by hand, and a step with few groups against the same step with one for each tensor."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from detector.merged_groups import MergedGroups, merged


def test_groups_by_hand():
    groups: list[dict[str, Any]] = [
        {"params": ["a"], "lr": 1.0, "betas": (0.9, 0.99)},
        {"params": ["b"], "lr": 2.0, "betas": (0.9, 0.99)},
        {"params": ["c", "d"], "lr": 1.0, "betas": (0.9, 0.99)},
        {"params": ["e"], "lr": 1.0, "betas": (0.9, 0.99), "weight_decay": 0.0},
    ]
    found = merged(groups)
    assert [group["params"] for group in found] == [["a", "c", "d"], ["b"], ["e"]]
    assert [group["lr"] for group in found] == [1.0, 2.0, 1.0]
    assert groups[0]["params"] == ["a"]  # as it was


@pytest.mark.parametrize("kind", ["AdamW", "SGD", "NAdam"])
def test_steps_are_those_of_many_groups(kind: str):
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    second = copy.deepcopy(first)
    config = {"type": "OptimWrapper", "optimizer": {"type": kind, "lr": 0.01, "weight_decay": 0.1}}
    paramwise = {"norm_decay_mult": 0.0, "custom_keys": {"2": {"lr_mult": 10.0}}}
    many = DefaultOptimWrapperConstructor(config, paramwise)(first)
    few = MergedGroups(config, paramwise)(second)
    assert len(many.optimizer.param_groups) == 6
    assert [len(group["params"]) for group in few.optimizer.param_groups] == [2, 2, 2]
    if kind != "NAdam" and not torch.cuda.is_available():
        assert all(group["fused"] for group in few.optimizer.param_groups)
    data = torch.randn(3, 16, 4)
    for batch in data:
        many.update_params(first(batch).square().mean())
        few.update_params(second(batch).square().mean())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
