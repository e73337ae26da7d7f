"""UPerNet with ConvNeXt-T, the second detector of Menn et al. 2025, started from ADE20K."""

from mmengine.config import read_base

with read_base():
    from .swin_t import *

model["backbone"] = dict(
    type="HubBackbone",
    model_type="convnext",
    options=dict(hidden_sizes=[96, 192, 384, 768], depths=[3, 3, 9, 3], drop_path_rate=0.4, layer_scale_init_value=1.0),
)
initialise.update(source="openmmlab/upernet-convnext-tiny")
