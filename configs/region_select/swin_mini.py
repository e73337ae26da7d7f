"""A selector for the embedded world: the small Swin on 100 labelled pictures, 1,000 iterations of 8."""

from mmengine.config import read_base

with read_base():
    from ..detector.swin_mini import *

train_dataloader.update(batch_size=8)
train_cfg.update(max_iters=1000, val_interval=100)
param_scheduler[1].update(end=1000)
