"""PAL's specialists: the same recipe, one task each: `--shards out/pal/TASK/train --val out/pal/TASK/val`."""

from mmengine.config import read_base

with read_base():
    from .pal_unified import *

train_dataloader["dataset"].update(shards=["out/pal/ldm/train"])
val_dataloader["dataset"].update(shards=["out/pal/ldm/val"])
