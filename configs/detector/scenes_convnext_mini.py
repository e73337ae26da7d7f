"""Scene segmentation of the embedded world with the small ConvNeXt."""

from mmengine.config import read_base

with read_base():
    from .scenes_swin_mini import *

model["backbone"] = dict(
    type="HubBackbone",
    model_type="convnext",
    options=dict(
        hidden_sizes=[32, 64, 128, 256],
        depths=[1, 1, 2, 1],
        patch_size=2,
        drop_path_rate=0.1,
        layer_scale_init_value=1.0,
    ),
)
model["decode_head"].update(in_channels=[32, 64, 128, 256])
model["auxiliary_head"].update(in_channels=128)
