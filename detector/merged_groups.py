"""Few groups of parameters: mmengine makes one of each tensor, and an optimiser works through them one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

Group = dict[str, Any]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroups(DefaultOptimWrapperConstructor):
    """mmengine's constructor; tensors with equal options share a group, in the order in which they come."""

    def __call__(self, model: Any) -> Any:
        """The optimiser's wrapper."""
        wrapper = super().__call__(model)
        groups = merged(wrapper.optimizer.param_groups)
        if "fused" in wrapper.optimizer.defaults and not torch.cuda.is_available():
            for group in groups:
                group["fused"] = True  # all tensors in one call; on cards torch already takes many together
        wrapper.optimizer.param_groups[:] = groups
        return wrapper


def merged(groups: Iterable[Group]) -> list[Group]:
    """One group for each set of options."""
    found: list[Group] = []
    for group in groups:
        options = {name: value for name, value in group.items() if name != "params"}
        for other in found:
            if options == {name: value for name, value in other.items() if name != "params"}:
                other["params"] = [*other["params"], *group["params"]]
                break
        else:
            found.append(dict(group))
    return found
