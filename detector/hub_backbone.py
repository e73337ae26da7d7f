"""ConvNeXt of the transformers library as a backbone of mmseg.

mmseg takes its ConvNeXt from mmpretrain, which is as unmaintained as mmseg and not installed; transformers has the
same network with the same weights.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS


@MODELS.register_module()
class HubBackbone(BaseModule):
    """`transformers.AutoBackbone` behind mmseg's interface: float BCHW in, a tuple of float BCHW maps out, fine first.

    Args:
        model_type: name of the architecture in transformers; a card allows "convnext" (detector.card_form).
        options: fields of its configuration; nothing is fetched, weights come from `initialise` or start random.

    Raises ValueError where transformers knows no such architecture or field.
    """

    def __init__(self, model_type: str, options: dict[str, Any], init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        from transformers import AutoBackbone, AutoConfig

        config = AutoConfig.for_model(model_type)
        known = config.to_dict()
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"backbone {model_type!r} has no option {name!r}")
            setattr(config, name, list(value) if isinstance(value, tuple) else value)
        stages = len(config.depths)
        config.stage_names = ["stem", *(f"stage{i + 1}" for i in range(stages))]
        config.out_features = config.stage_names[1:]
        self.model = AutoBackbone.from_config(config)

    def init_weights(self) -> None:
        """transformers initialised the weights when it built the model."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.model(images).feature_maps)
