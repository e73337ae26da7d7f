"""Scene segmentation of the embedded world with a small Mask2Former, as the published ones have ADE20K: twenty parts
and the ground.

Masks are at full resolution (patches of one pixel): at half of it, no query is sure of the outlines of things.
"""

from mmengine.config import read_base

with read_base():
    from .scenes_swin_mini import *

model = dict(
    type="MaskSegmenter",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        size=(64, 64),
    ),
    network=dict(
        model_type="mask2former",
        num_classes=21,
        options=dict(
            feature_size=64,
            mask_feature_size=64,
            hidden_dim=64,
            encoder_feedforward_dim=256,
            dim_feedforward=256,
            encoder_layers=1,
            decoder_layers=4,
            num_attention_heads=4,
            num_queries=24,
            common_stride=1,
            feature_strides=[1, 2, 4, 8, 16],
            train_num_points=512,
        ),
        backbone=dict(
            model_type="swin",
            options=dict(
                image_size=64,
                patch_size=1,
                embed_dim=16,
                depths=[1, 1, 2, 4, 1],
                num_heads=[1, 2, 4, 8, 8],
                window_size=4,
                drop_path_rate=0.0,
            ),
        ),
    ),
)
prior_samples = 0
scene_pipeline = [dict(type="PackSegInputs")]
train_dataloader["dataset"].update(count=12000, pipeline=scene_pipeline)
val_dataloader["dataset"].update(count=200, pipeline=scene_pipeline)
val_evaluator = dict(type="SceneQuality")
val_score = "val/foreground_accuracy"

train_cfg.update(max_iters=4000, val_interval=500)
optim_wrapper.update(
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        custom_keys={
            "relative_position_bias_table": dict(decay_mult=0.0),
            "norm": dict(decay_mult=0.0),
            "queries_features": dict(decay_mult=0.0),
            "queries_embedder": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=200),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=200, end=4000),
]
