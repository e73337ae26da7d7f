"""UPerNet with a small ConvNeXt for the embedded world: 1.3 M parameters, pictures of 64 pixels."""

from mmengine.config import read_base

with read_base():
    from .swin_mini import *

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
initialise.update(
    source="detector/weights/convnext_mini.safetensors", make="make detector/weights/convnext_mini.safetensors"
)
