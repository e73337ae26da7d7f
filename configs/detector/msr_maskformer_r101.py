"""Mask-based semantic rejection with the published MaskFormer on a ResNet-101 of ADE20K (Cheng et al. 2021)."""

from mmengine.config import read_base

with read_base():
    from .msr_r101 import *

initialise = dict(source="facebook/maskformer-resnet101-ade", part="all", revision="main")
model["network"]["model_type"] = "maskformer"
model["network"]["options"] = dict(
    fpn_feature_size=256,
    mask_feature_size=256,
    decoder_config=dict(
        num_queries=100,
        d_model=256,
        encoder_layers=0,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
    ),
)
