"""The recipe that PAL4VST was released with: heads learn ten times as fast, 20,000 iterations of a 160,000 schedule."""

from mmengine.config import read_base

with read_base():
    from .swin_t import *

optim_wrapper["paramwise_cfg"]["custom_keys"].update(head=dict(lr_mult=10.0))
train_cfg.update(max_iters=20000)
param_scheduler[1].update(end=160000)
