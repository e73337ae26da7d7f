"""The selector of Menn et al. 2025: UPerNet Swin-T from ADE20K on 100 of RichHF-18k, 1,000 iterations of 8."""

from mmengine.config import read_base

with read_base():
    from ..detector.swin_t import *

# Eight in all, on one card. The share of the warm-up is that of the detector's schedule.
train_cfg.update(max_iters=1000, val_interval=100)
state_every = 100
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=150),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=150, end=1000),
]
