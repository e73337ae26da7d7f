"""UPerNet with a small Swin for the embedded world: 1.5 M parameters, pictures of 64 pixels, minutes on one core."""

from mmengine.config import read_base

with read_base():
    from .swin_t import *

image_size = 64
initialise = dict(
    source="detector/weights/swin_mini.safetensors",
    part="all",
    revision="main",
    make="make detector/weights/swin_mini.safetensors",
)
prior_samples = 512
log_every = 50
state_every = 200

# No flip: a mirrored letter is a fault. No scaling: it would blur what is to be seen.
train_pipeline = [
    dict(type="RandomCrop", crop_size=(56, 56), cat_max_ratio=1.0),
    dict(type="Light", gain=0.0, tint=0.0),
    dict(type="PackSegInputs"),
]
val_pipeline = [dict(type="ResizeImage", size=64), dict(type="PackSegInputs")]
# 64 pixels load so fast that workers cost more than they bring.
train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader["dataset"].update(pipeline=train_pipeline)
val_dataloader.update(batch_size=32, num_workers=0, persistent_workers=False)
val_dataloader["dataset"].update(pipeline=val_pipeline)

model["data_preprocessor"].update(size=(56, 56))
model["backbone"].update(
    pretrain_img_size=64,
    embed_dims=24,
    patch_size=2,
    strides=(2, 2, 2, 2),
    window_size=4,
    depths=[2, 2, 2, 2],
    num_heads=[1, 2, 4, 8],
    drop_path_rate=0.1,
)
model["decode_head"].update(in_channels=[24, 48, 96, 192], channels=32)
model["auxiliary_head"].update(in_channels=96, channels=32)

train_cfg.update(max_iters=1600, val_interval=400)
optim_wrapper["optimizer"].update(lr=2e-3)
# A classifier starts at nearly 0 and here has a thousand steps, not ten thousand, to get away from there.
optim_wrapper["paramwise_cfg"]["custom_keys"].update(conv_seg=dict(lr_mult=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=100, end=1600),
]
