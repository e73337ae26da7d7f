"""Mask-based semantic rejection with Mask2Former Swin-B of ADE20K, adapted as the paper says (Yin 2026, section 4.1).

Short side 640, ratio kept; training pictures are cropped to 640 x 640, which the paper does not say.
"""

from mmengine.config import read_base

with read_base():
    from .base import *

image_size = 640
initialise = dict(source="facebook/mask2former-swin-base-ade-semantic", part="all", revision="main")
log_every = 20
state_every = 50

model = dict(
    type="MaskRejector",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        size=(640, 640),
    ),
    network=dict(
        model_type="mask2former",
        num_classes=150,
        options=dict(
            feature_size=256,
            mask_feature_size=256,
            hidden_dim=256,
            encoder_feedforward_dim=1024,
            dim_feedforward=2048,
            encoder_layers=6,
            decoder_layers=10,
            num_attention_heads=8,
            num_queries=100,
            common_stride=4,
            feature_strides=[4, 8, 16, 32],
        ),
        backbone=dict(
            model_type="swin",
            options=dict(
                image_size=384,
                patch_size=4,
                embed_dim=128,
                depths=[2, 2, 18, 2],
                num_heads=[4, 8, 16, 32],
                window_size=12,
                drop_path_rate=0.3,
            ),
        ),
    ),
    keep_ratio=True,
    score="msr",
    valid_classes=None,
    rejection_loss=dict(margin=0.5, weight=1.0, background="soft_dice"),
)

train_pipeline = [
    dict(type="Resize", scale=(2560, 640), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(640, 640), cat_max_ratio=1.0),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
val_pipeline = [dict(type="ResizeImage", size=640), dict(type="PackSegInputs")]
train_dataloader.update(batch_size=4)
train_dataloader["dataset"].update(pipeline=train_pipeline)
val_dataloader["dataset"].update(pipeline=val_pipeline)

train_cfg.update(max_iters=200, val_interval=50)
optim_wrapper["optimizer"].update(lr=5e-5)
optim_wrapper["paramwise_cfg"]["custom_keys"] = dict()
param_scheduler = None
