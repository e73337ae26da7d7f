"""The leak check's probe: a small network that sees an autoencoder's traces and little else.

See docs/explanation/leak_check.md.
"""

from mmengine.config import read_base

with read_base():
    from .swin_mini import *

initialise = None
train_dataloader.update(batch_size=16)
model["data_preprocessor"].update(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
model["backbone"] = dict(type="TraceBackbone", channels=24, dilations=[1, 1, 2, 4, 1])
model["decode_head"] = dict(
    type="FCNHead",
    in_channels=24,
    in_index=0,
    channels=24,
    num_convs=0,
    concat_input=False,
    dropout_ratio=0.0,
    num_classes=2,
    norm_cfg=dict(type="BN"),
    align_corners=False,
    loss_decode=dict(type="CrossEntropyLoss", loss_weight=1.0, class_weight=None),
)
model["auxiliary_head"] = None

train_cfg.update(max_iters=800, val_interval=400)
optim_wrapper["optimizer"].update(lr=3e-3)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=100, end=800),
]
