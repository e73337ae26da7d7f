"""PAL's unified model: the recipe that PAL4VST was released with, on the pictures of all tasks.

Heads learn ten times as fast, 20,000 iterations of a 160,000 schedule, the best weights by two-class mean IoU.
"""

from mmengine.config import read_base

with read_base():
    from .swin_t import *

train_dataloader["dataset"].update(shards=["out/pal/unified/train"])
val_dataloader["dataset"].update(shards=["out/pal/unified/val"])
val_score = "val/two_class_mean_iou"
optim_wrapper["paramwise_cfg"]["custom_keys"].update(head=dict(lr_mult=10.0))
train_cfg.update(max_iters=20000)
param_scheduler[1].update(end=160000)
