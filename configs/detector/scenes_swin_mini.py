"""Scene segmentation of the embedded world, where the small detectors start from: twenty parts and the ground."""

from mmengine.config import read_base

with read_base():
    from .swin_mini import *

initialise = None
scenes = dict(
    type="SceneDataset",
    scene="miniworld.world.scenes:sample_scene",
    image="miniworld.world.render:render",
    labels="miniworld.world.render:part_labels",
    names="miniworld.world.objects:PARTS",
)
# Both below the split `train` (miniworld/world/splits.py), which no detector is trained or tested on.
train_dataloader["dataset"] = dict(**scenes, first_seed=100_000_000, count=8000, pipeline=train_pipeline, seed=0)
val_dataloader["dataset"] = dict(**scenes, first_seed=100_900_000, count=200, pipeline=val_pipeline)
val_evaluator = dict(type="PixelAccuracy")
val_score = "val/mean_class_iou"

model["decode_head"].update(num_classes=21)
model["auxiliary_head"].update(num_classes=21)
train_cfg.update(max_iters=3000, val_interval=1000)
optim_wrapper["optimizer"].update(lr=3e-3)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=100, end=3000),
]
