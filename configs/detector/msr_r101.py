"""The same with a Mask2Former on a ResNet-101, the paper's lighter network (Yin 2026, table 7).

No such weights of ADE20K are published as safetensors: name a folder with `--set initialise.source=DIR`.
"""

from mmengine.config import read_base

with read_base():
    from .msr_swin_b import *

initialise = dict(source="mask2former_r101_ade", part="all", revision="main")
model["network"]["backbone"] = dict(
    model_type="resnet",
    options=dict(
        depths=[3, 4, 23, 3],
        embedding_size=64,
        hidden_sizes=[256, 512, 1024, 2048],
        layer_type="bottleneck",
    ),
)
