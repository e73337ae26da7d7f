"""As the default of `make shards`, with regions where a selector trained on 100 labelled pictures expects damage."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

region = dict(
    policy="learned",
    options=dict(
        weights="region_select/weights/swin_mini.safetensors",
        tau=0.5,
        limits=dict(dilation=1, min_component_area=0.002, min_area=0.004, max_area=0.3),
    ),
)
title = "Blemish miniworld, learned regions"
