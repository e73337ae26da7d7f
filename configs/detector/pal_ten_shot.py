"""PAL's adaptation to an unseen generator: the unified model, 2,000 iterations on ten labelled pictures of it."""

from mmengine.config import read_base

with read_base():
    from .pal_unified import *

initialise = dict(
    source="out/detector/pal_unified/weights.safetensors",
    part="whole",
    make="python -m detector train configs/detector/pal_unified.py --shards out/pal/unified/train "
    "--val out/pal/unified/val",
)
train_dataloader["dataset"].update(shards=["out/ten"])
train_cfg.update(max_iters=2000)
